/**
 * Every bound of Tidemark, in one place. Sizes end in `_BYTES_MAX`, durations in `_MS`, counts in `_MAX`.
 */

/** Identifiers (Matrix specification, appendices, "Common identifier format"). */
export const ID_BYTES_MAX = 255;

/** One event as JSON (Matrix specification, "Size limits"). */
export const EVENT_BYTES_MAX = 65_536;

/** One message to `tidemark.in.*`, before it is decoded. Leaves its record room under the broker's 1 MiB. */
export const REQUEST_BYTES_MAX = 524_288;

/** Nesting of maps and arrays in anything that comes from outside. */
export const DEPTH_MAX = 64;

/** Entries in one record: the factor of a position, so it can never change. */
export const ENTRIES_PER_RECORD_MAX = 1024;

/** Requests are grouped into one record up to this size. A record of one request may be larger. */
export const GROUP_BYTES_MAX = 262_144;

/** How long a request may wait for the append before it, to share a record with others. */
export const LINGER_MS = 5;

/** Bytes of requests that ingress holds until the log has acknowledged them. */
export const IN_FLIGHT_BYTES_MAX = 33_554_432;

/** What a sender is told to wait when ingress is saturated. */
export const RETRY_AFTER_MS = 250;

/** What is published so soon after a write to the broker's socket is gathered into the next, unless it is as much as this. */
export const WRITE_PAUSE_MS = 2;
export const WRITE_BYTES_MAX = 262_144;

/** A publish to a stream without an acknowledgement for so long has failed. */
export const ACK_TIMEOUT_MS = 5_000;

/** Rooms whose subject token ingress need not parse again. */
export const ROOM_TOKENS_MAX = 65_536;

/** Servers whose judgement by one room's server ACL is remembered. */
export const ACL_CACHE_MAX = 1_024;

/** F4. Held receipts of one (user, type, thread). */
export const HELD_PER_KEY_MAX = 8;

/** F4. Held receipts of one room. */
export const HELD_PER_ROOM_MAX = 10_000;

/** F13. No count goes further. */
export const UNREAD_COUNT_MAX = 1_000;

/** Newest live events of a room that are kept with their bodies, for snapshots. */
export const TIMELINE_EVENTS_MAX = 100;

/** Events of a snapshot's timeline when a query names no limit. */
export const TIMELINE_EVENTS_DEFAULT = 20;

/** Event ids that one query may name. */
export const QUERY_EVENT_IDS_MAX = 1_024;

/** How often at most a room's deltas are published. */
export const FLUSH_WINDOW_MS = 20;

/** Rooms that one flush publishes. */
export const FLUSH_ROOMS_MAX = 1_024;

/** One published message. The broker's own limit is 1 MiB, headers included. */
export const PUBLISH_BYTES_MAX = 786_432;

/** What the broker must let through: the largest published message, with room for its headers. */
export const BROKER_PAYLOAD_BYTES_MIN = 1_048_576;

/** Publishes that were not acknowledged are repeated, the pause doubling from the first to the second. */
export const PUBLISH_RETRY_MS_MIN = 50;
export const PUBLISH_RETRY_MS_MAX = 5_000;

/** Changes that wait to be published before a partition stops reading its log, and where it goes on. */
export const PENDING_CHANGES_MAX = 65_536;
export const PENDING_CHANGES_RESUME = 8_192;

/**
 * Records that a process asks its logs for ahead of the fold, shared by its partitions, each with so many at least. They are
 * on their way together, and a broker cuts a connection off for which more than 64 MiB wait.
 */
export const FETCH_RECORDS_MAX = 2_048;
export const FETCH_RECORDS_MIN = 16;

/** Messages that any other reader of a stream asks for ahead. */
export const FETCH_MESSAGES_DEFAULT = 128;

/** How long the streams keep what is published. */
export const DELTAS_AGE_MS = 24 * 3_600_000;
export const FEDERATION_AGE_MS = 24 * 3_600_000;
export const REJECTED_AGE_MS = 7 * 24 * 3_600_000;

export const PARTITIONS_DEFAULT = 8;
export const PARTITIONS_MAX = 1_024;

/** How long a drain waits for what is in the log already, and how often it looks. */
export const DRAIN_FOLD_MS_MAX = 2_000;
export const DRAIN_FOLD_POLL_MS = 5;

/** A drain that takes longer than this is given up; the log has everything. */
export const DRAIN_MS_MAX = 10_000;

/** After a drain, the process ends by itself, or after this. */
export const EXIT_MS_MAX = 1_000;

/** Checkpoints are written so often, and after so many entries, whichever comes first. */
export const CHECKPOINT_MS = 1_000;
export const CHECKPOINT_ENTRIES = 50_000;

/** How often a worker that catches up with its logs says how far it is: to a progress bar, and in its own log. */
export const CATCH_UP_TELL_MS = 200;
export const CATCH_UP_LOG_MS = 10_000;

/** The longest that a timer of Node waits. */
export const TIMER_MS_MAX = 2_147_483_647;

/** Rows of each kind that an active room keeps in memory beyond those that no checkpoint has yet. */
export const HOT_ROWS_MAX = 1_024;

/** A room without entries or questions for so long is passivated. */
export const IDLE_MS = 300_000;

/** Active rooms of a process; beyond it the least recently used are passivated. */
export const ACTIVE_ROOMS_MAX = 10_000;

/**
 * How much the heap may grow over what was in use after a collection before the next one. V8 by itself lets it
 * grow to four times as much where the machine has the memory; with 50 collecting costs a tenth of all receipts.
 */
export const HEAP_GROWTH_PERCENT = 100;

/* Federation. */

/** How long a receipt for other servers waits for others to share an EDU with. */
export const FEDERATION_WINDOW_MS = 1_000;
export const FEDERATION_WINDOW_MS_MAX = 60_000;

/** In a room of fewer servers, ours included, some receipts don't wait. */
export const FEDERATION_SMALL_ROOM_SERVERS = 10;

/** In such a room, a receipt on an event that came less than this ago doesn't wait. */
export const FEDERATION_YOUNG_EVENT_MS = 60_000;

/** One EDU as JSON, as much as an event may have (Matrix specification, "Size limits"). */
export const EDU_BYTES_MAX = 65_535;

/** EDUs of one transaction (Matrix specification, server-server API, "Transactions"). */
export const EDUS_PER_TRANSACTION_MAX = 100;

/** Receipts that a reader of one destination keeps in memory. */
export const FEDERATION_PENDING_MAX = 50_000;

/** How long a reader of one destination may miss what was published while its connection was lost. */
export const FEDERATION_POLL_MS_MAX = 10_000;

/* Homeservers. */

/** One transaction of a homeserver: 100 events of the largest size, and as much again of everything else. */
export const TRANSACTION_BYTES_MAX = 16_777_216;

/** How long a transaction is known by its id. */
export const TRANSACTIONS_AGE_MS = 7 * 24 * 3_600_000;

/** What is handed to ingress at once: a whole event always fits. */
export const DELIVERY_BYTES_MAX = 262_144;

/** How often a request is sent again while ingress is saturated. */
export const DELIVERY_ATTEMPTS_MAX = 20;
// Front-ends and the gateway.

/** Events on one page of a room's history. */
export const EVENTS_PAGE_MAX = 100;
export const EVENTS_PAGE_DEFAULT = 10;

/** Events that one page looks at for those that relate to another. */
export const EVENTS_SCAN_MAX = 1_000;

/** Threads of the unread counts, of all rooms and users together, that a worker goes on from. About 100 bytes each. */
export const UNREAD_THREADS_CACHED_MAX = 200_000;

/** Events of one answer, as JSON, before it is cut: well below what the broker takes. */
export const ANSWER_BYTES_MAX = 524_288;

/** Events that one query reads from the log at the same time. */
export const BODIES_AT_ONCE = 32;

/** A request over the bus that nobody answered for so long has failed. */
export const REQUEST_TIMEOUT_MS = 10_000;

/** Asking a homeserver: events a page, time to answer, attempts, and the pauses between them. */
export const HOMESERVER_PAGE_EVENTS = 250;
export const HOMESERVER_TIMEOUT_MS = 60_000;
export const HOMESERVER_ATTEMPTS_MAX = 8;
export const HOMESERVER_RETRY_MS_MIN = 500;
export const HOMESERVER_RETRY_MS_MAX = 30_000;

/** How often a room's state is read again because it changed while it was stored. */
export const STATE_READS_MAX = 5;
/** Markers that a reader asks for with one snapshot request. */
export const SNAPSHOT_MARKERS_MAX = 4_096;

/** Changes that wait for a slow reader of a room. Beyond, it is told to look at the room anew. */
export const ROOM_CHANGES_MAX = 1_024;

/** A room view holds so many events; past them, the one with the smallest order goes. */
export const ROOM_EVENTS_HELD_MAX = 10_000;

/** Access tokens whose owner a homeserver told, and for how long that is believed. */
export const ACCESS_TOKENS_CACHED_MAX = 10_000;
export const WHOAMI_CACHE_MS = 60_000;
export const WHOAMI_TIMEOUT_MS = 10_000;

/** A packed filter: its id stands in URLs. */
export const FILTER_BYTES_MAX = 2_048;

/** Deltas that a gateway remembers. */
export const RECENT_BYTES_MAX = 67_108_864;

/** Deltas by which one gateway may be behind another. */
export const GATEWAY_LAG_MAX = 1_000;

/** Deltas of each partition that a gateway reads when it starts, so that clients of others can go on with it. */
export const RECENT_DELTAS_READ = 2_000;

/** Events of a room in one `/sync` when the filter names no number. */
export const SYNC_TIMELINE_DEFAULT = 10;

/** No `/sync` waits longer. */
export const SYNC_TIMEOUT_MS_MAX = 120_000;

/** What changes so soon after a device was answered is gathered into its next answer; at most the other while the gateway is behind. */
export const SYNC_GATHER_MS = 30;
export const SYNC_GATHER_MS_MAX = 120;

/** How often a gateway looks whether it is behind. */
export const GATHER_CHECK_MS = 200;

/** Halves of sync tokens that a gateway wrote and need neither write nor parse again: what the latest deltas made, and of users. */
export const SYNC_MARKS_CACHED_MAX = 1_000;
export const SYNC_MEMBERSHIPS_CACHED_MAX = 10_000;

/** Filters that a gateway need not parse again. */
export const FILTERS_CACHED_MAX = 1_000;

/** A gateway asks again which rooms a user is in after so long; joins and leaves that are published come at once. */
export const USER_ROOMS_REFRESH_MS = 60_000;

/** And after so long when a user asks for a room that they seem not to be in. */
export const USER_ROOMS_REFRESH_MS_MIN = 1_000;

/** A user without requests for so long is forgotten. */
export const USER_IDLE_MS = 300_000;

/** Rooms that one `/sync` asks the workers about at the same time. */
export const SYNC_QUERIES_AT_ONCE = 16;

/** How long an answer waits for the deltas of what it has already, so that they don't come twice. */
export const SETTLE_MS_MAX = 2_000;

/** Receipts that a gateway sends with one request. */
export const RECEIPTS_PER_REQUEST_MAX = 256;

/** Events whose thread a gateway remembers. */
export const THREADS_CACHED_MAX = 100_000;

/** Requests of one user within the window. */
export const USER_REQUESTS_MAX = 2_000;
export const USER_REQUESTS_WINDOW_MS = 10_000;

/** A client that takes nothing of an answer for so long is cut off, at the latest after one and a half times as long. */
export const SLOW_READER_MS = 5_000;

/** A request has to be here completely within so long. */
export const HTTP_REQUEST_MS_MAX = 30_000;
export const HTTP_HEADER_BYTES_MAX = 32_768;
export const HTTP_BODY_BYTES_MAX = 262_144;
// Replay and the inspector.

/** Records that a scan of the log asks for ahead of whoever takes them. */
export const SCAN_RECORDS_MAX = 1_024;

/** A scan's consumer that nobody asks for so long is removed by the broker. */
export const SCAN_IDLE_MS = 60_000;

/** Scans in a row that end early and bring nothing, before reading is given up, and the pause after the first of them. */
export const SCAN_RETRIES_MAX = 5;
export const SCAN_RETRY_MS = 200;

/** A scan that lasted so long has waited for what comes, and did not end early. */
export const SCAN_STEADY_MS = 5_000;

/** Work longer than this shows a progress bar on a terminal. */
export const PROGRESS_AFTER_MS = 1_000;

/** One line of an exported log. A record has at most 1 MiB, and JSON makes a byte at most six times as long. */
export const LOG_LINE_CHARS_MAX = 8 * 1_048_576;

/** Records that an import appends, or compares, at once. */
export const IMPORT_RECORDS_MAX = 256;

/** How long `verify` waits for an owner, or for deltas, that are behind the log. */
export const VERIFY_WAIT_MS = 10_000;

/** The tide chart: lines in one lane, threads with a lane of their own, held receipts. */
export const CHART_LINES_MAX = 24;
export const CHART_LANES_MAX = 6;
export const CHART_HELD_MAX = 500;

/** What the inspector's page may ask for at once. */
export const INSPECT_POINTS_MAX = 4_000;
export const INSPECT_ROWS_MAX = 200;
export const INSPECT_USERS_SHOWN_MAX = 200;
export const INSPECT_HELD_SHOWN_MAX = 100;
export const INSPECT_LISTED_ROOMS_MAX = 100;

/** The newest steps that the inspector keeps of a room; markers, events and held receipts are kept whole. */
export const INSPECT_STEPS_MAX = 200_000;

/** Rooms that the inspector follows at once; the one that was looked at longest ago is given up. */
export const INSPECT_ROOMS_MAX = 8;

/** A room that nobody looks at for so long is given up. */
export const INSPECT_IDLE_MS = 600_000;

/** Rooms with more records than this are summed up only when they are opened. */
export const INSPECT_SUMMARY_RECORDS_MAX = 20_000;

/** How often at most a page that follows a room is told. */
export const INSPECT_TELL_MS = 200;

/** A stream of news says something at least so often, so that a proxy keeps it open. */
export const INSPECT_HEARTBEAT_MS = 15_000;

/** The shortest admin token. */
export const ADMIN_TOKEN_CHARS_MIN = 16;

/* The cluster. */

/** Replicas of streams and buckets on a cluster of brokers. */
export const CLUSTER_REPLICAS = 3;

/** JetStream's own limit. */
export const REPLICAS_MAX = 5;

/** A cluster of brokers that starts has this long to elect its leaders. */
export const CLUSTER_READY_MS_MAX = 60_000;
export const CLUSTER_READY_POLL_MS = 500;

/** A lease is renewed so often; its holder stops itself so long after it asked for its last renewal; others let it run out. */
export const LEASE_RENEW_MS = 5_000;
export const LEASE_HOLD_MS = 12_000;
export const LEASE_TTL_MS = 15_000;

/** How often leases are looked at for what time alone has changed. */
export const LEASE_TICK_MS = 250;

/** How often an owner announces to its standby how far it has published: at most, and at least. */
export const PUBLISHED_ANNOUNCE_MS = 100;
export const PUBLISHED_REPEAT_MS = 1_000;

/** Records that a standby has read, and may not fold yet. */
export const STANDBY_RECORDS_MAX = 4_096;

/** What a worker waits for a partition's owner to answer a question. */
export const OWNER_ANSWER_MS = 2_000;

/** What reads the bus is repeated while it can't be reached, the pause doubling from the first to the second. */
export const BUS_RETRY_MS_MIN = 100;
export const BUS_RETRY_MS_MAX = 2_000;

/** A consumer whose broker is gone is noticed after two missed heartbeats, and made anew after the other at the latest. */
export const CONSUMER_HEARTBEAT_MS = 1_000;
export const CONSUMER_EXPIRES_MS = 2_000;

/** A consumer that nobody asks for so long is removed by the broker. */
export const CONSUMER_IDLE_MS = 10_000;
