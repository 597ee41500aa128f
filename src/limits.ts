/**
 * Every limit, default and interval that somebody outside can notice: a sender, a client, another server, an author of a
 * front-end, an operator. What only one file uses and nobody outside notices stands in that file.
 *
 * Sizes end in `_BYTES_MAX`, durations in `_MS`, counts in `_MAX`.
 */

/* Identifiers, events and requests. */

/** An identifier, an event type or a state key, in Unicode code points: at most 1,020 bytes of UTF-8. */
export const ID_CHARS_MAX = 255;

/** One event as JSON (Matrix specification, "Size limits"). Of a larger one, only what the fold reads is stored. */
export const EVENT_BYTES_MAX = 65_536;

/** One message to `tidemark.in.*`, before it is decoded. Its record stays well below the broker's 1 MiB. */
export const REQUEST_BYTES_MAX = 524_288;

/** Nesting of maps and arrays in a message from outside. */
export const DEPTH_MAX = 64;

/**
 * Values in a message from outside: scalars, arrays and maps. A key of a map counts as three. Decoding costs time by their
 * number rather than by their bytes. JSON of `EVENT_BYTES_MAX` bytes, in which an entry has at least five, has fewer.
 */
export const VALUES_MAX = 65_536;
export const VALUES_PER_KEY = 3;

/** Events that one erasure names (F14). An entry with so many is about 50 KiB. */
export const ERASED_EVENTS_MAX = 1_000;

/** Entries in one record, and so in one request. It is the factor of a position, so it can never change. */
export const ENTRIES_PER_RECORD_MAX = 1024;

/** An EDU of another server. What is beyond is refused. */
export const EDU_ITEMS_MAX = 1024;
export const EDU_ROOMS_MAX = 100;

/** Refused items of an EDU that the reply names. The others are counted. */
export const EDU_REFUSALS_NAMED_MAX = 50;

/**
 * Whether a room is known, which a receipt of another server must name: ingress asks the room's owner. So many answers are
 * cached, of rooms that are known and of others, for so long.
 */
export const ROOM_ANSWERS_MAX = 65_536;
export const KNOWN_ROOM_MS = 600_000;
export const UNKNOWN_ROOM_MS = 5_000;

/** Rooms that are asked about at a time, and those that wait for it included. Beyond, the receipt is taken. */
export const ROOMS_ASKED_MAX = 128;
export const ROOM_QUESTIONS_MAX = 4_096;

/** Without an answer within this time, the receipt is taken. */
export const ROOM_ANSWER_MS = 1_000;

/** Bytes of requests that one ingress holds until the log acknowledges them. Beyond, it answers `M_LIMIT_EXCEEDED`. */
export const IN_FLIGHT_BYTES_MAX = 33_554_432;

/** The `retry_after_ms` of that answer. */
export const RETRY_AFTER_MS = 250;

/** How long a request may wait for the previous append to its room, to share a record with others. */
export const LINGER_MS = 5;

/** A publish that its stream does not acknowledge within this time has failed (`M_UNKNOWN`). */
export const ACK_TIMEOUT_MS = 5_000;

/** A request over the bus that is not answered within this time has failed. */
export const REQUEST_TIMEOUT_MS = 10_000;

/* The fold (docs/design.md#the-fold). */

/** F4. Held receipts of one (user, type, thread). */
export const HELD_PER_KEY_MAX = 8;

/** F4. Held receipts of one room. */
export const HELD_PER_ROOM_MAX = 10_000;

/** F4. Held receipts of one user in a room, and of one remote server. */
export const HELD_PER_USER_MAX = 64;
export const HELD_PER_SERVER_MAX = 1_000;

/** F3. Unsettled events of the senders of one server in a room, and of a room. */
export const UNSETTLED_PER_SERVER_MAX = 1_000;
export const UNSETTLED_PER_ROOM_MAX = 10_000;

/** F6. Live events of a room for which a receipt of unknown thread waits for its event to be settled. */
export const UNSETTLED_LIVE_EVENTS_MAX = 100;

/** F9. Characters of patterns in one list of a server ACL: more than fit into an event. */
export const ACL_PATTERN_CHARS_MAX = 65_536;

/** F13. No unread count is larger. */
export const UNREAD_COUNT_MAX = 1_000;

/** The newest events of positive order whose places a room keeps for snapshots. Their bodies stay in the log. */
export const TIMELINE_EVENTS_MAX = 100;

/* What is published. */

/** How often at most a room's deltas are published. */
export const FLUSH_WINDOW_MS = 20;

/** One published message. The broker's own limit is 1 MiB, headers included. */
export const PUBLISH_BYTES_MAX = 786_432;

/** The smallest `max_payload` of a broker: the largest published message, with space for its headers. */
export const BROKER_PAYLOAD_BYTES_MIN = 1_048_576;

/** Members in one published message whose member events `state` entries set. */
export const STATE_MEMBERS_PUBLISHED_MAX = 1_024;

/** How long the streams keep what is published. */
export const DELTAS_AGE_MS = 24 * 3_600_000;
export const FEDERATION_AGE_MS = 24 * 3_600_000;
export const REJECTED_AGE_MS = 7 * 24 * 3_600_000;

/* Queries. */

/** Events of a snapshot's timeline. Default of `timeline_limit`. */
export const TIMELINE_EVENTS_DEFAULT = 20;

/** Event ids in one query. */
export const QUERY_EVENT_IDS_MAX = 1_024;

/** Those who give a name to a room without one: as many others as a client shows, and the user itself. */
export const HEROES_MAX = 5;

/** Events that relate to one by `m.reference`, of which clients are told with it: the newest. `/relations` has all. */
export const REFERENCES_MAX = 100;

/** Events on one page of a room's history. */
export const EVENTS_PAGE_MAX = 100;
export const EVENTS_PAGE_DEFAULT = 10;

/** Event types, and users, by which a question selects state. */
export const STATE_TYPES_MAX = 100;
export const STATE_MEMBERS_MAX = 1_024;

/** Events that one page examines for those that its reader may see, or that relate to another. It may be short then. */
export const EVENTS_SCAN_MAX = 1_000;

/**
 * Events, rooms or threads of one answer, as they are encoded. What is beyond comes with the next page. An answer may have events,
 * markers and members: together well below the broker's limit (`BROKER_PAYLOAD_BYTES_MIN`).
 */
export const ANSWER_BYTES_MAX = 524_288;
export const MARKERS_BYTES_MAX = 262_144;
export const MEMBERS_BYTES_MAX = 131_072;

/** Changes of members that one page of them examines. */
export const MEMBERS_SCAN_MAX = 4_096;

/** How long `tidemark status` waits for the answers of all processes. */
export const INSTANCE_ANSWER_MS = 1_000;

/** How long a worker waits for the answer of a partition's owner. */
export const OWNER_ANSWER_MS = 2_000;

/* Federation. */

/** How long a receipt for other servers waits for others to share an EDU with. */
export const FEDERATION_WINDOW_MS = 1_000;
export const FEDERATION_WINDOW_MS_MAX = 60_000;

/** EDUs with receipts of one user in one room that one server gets in a window. Further threads wait for the next. */
export const FEDERATION_EDUS_MAX = 4;

/** In a room with fewer servers than this, ours included, some receipts don't wait. */
export const FEDERATION_SMALL_ROOM_SERVERS = 10;

/** Those are the receipts on an event that came less than this ago. */
export const FEDERATION_YOUNG_EVENT_MS = 60_000;

/** One EDU as JSON, the same as an event (Matrix specification, "Size limits"). */
export const EDU_BYTES_MAX = 65_535;

/** EDUs of one transaction (Matrix specification, server-server API, "Transactions"). */
export const EDUS_PER_TRANSACTION_MAX = 100;

/** Receipts that a reader of one destination keeps in memory. The others stay in the stream. */
export const FEDERATION_PENDING_MAX = 50_000;

/** A reader of one destination finds what it missed during a lost connection within this time. */
export const FEDERATION_POLL_MS_MAX = 10_000;

/** Streams that share the destinations. The count of a broker is fixed when its streams are made. */
export const FEDERATION_SHARDS = 4;

/* The archive. */

/** One object of the archive. */
export const ARCHIVE_OBJECT_BYTES_MAX = 67_108_864;

/** Messages of the log from which on a block of a segment is full. To read one event, the bodies of its block are read. */
export const ARCHIVE_BLOCK_BYTES = 524_288;

/** A request to an S3 server: how long one attempt may take, the attempts, and the pauses between them. Each is twice as long as the one before. */
export const ARCHIVE_REQUEST_MS_MAX = 60_000;
export const ARCHIVE_ATTEMPTS_MAX = 5;
export const ARCHIVE_RETRY_MS_MIN = 200;
export const ARCHIVE_RETRY_MS_MAX = 5_000;

/* Homeservers. */

/**
 * One transaction of a homeserver: 100 events of the largest size, each with the content before it and its redaction, and
 * as much again for receipts and others. Nothing of a larger one is stored.
 */
export const TRANSACTION_BYTES_MAX = 33_554_432;

/** An event of a local user that is pushed this long after it was sent is late: pushes before it have failed. */
export const LATE_PUSH_MS = 5_000;
/** A homeserver that was late has caught up once it has pushed nothing late for this long. */
export const LATE_PUSHES_QUIET_MS = 1_000;

/** How long a transaction that is sent again is recognised by its id. */
export const TRANSACTIONS_AGE_MS = 7 * 24 * 3_600_000;

/** How long a room's owner may take to say which receipts it has already, and how long it isn't asked when it has not said. */
export const TOLD_ANSWER_MS = 1_000;
export const TOLD_RETRY_MS = 1_000;

/** How long a homeserver may take to answer a ping, for which it asks Tidemark. */
export const PING_TIMEOUT_MS = 30_000;

/* Front-ends. */

/** Markers that a room view requests with one snapshot. */
export const SNAPSHOT_MARKERS_MAX = 4_096;

/** Changes that wait for a slow reader of a room view or a user's rooms. Beyond, the reader gets the whole state again. */
export const ROOM_CHANGES_MAX = 1_024;

/** Events in a room view. Beyond, the one with the smallest order is evicted. */
export const ROOM_EVENTS_MAX = 10_000;

/* The gateway. */

/** How long the homeserver's answer about an access token is cached, and how long a gateway or a proxy waits for it. */
export const WHOAMI_CACHE_MS = 60_000;
export const WHOAMI_TIMEOUT_MS = 10_000;

/** Tokens that a gateway asks the homeserver about at a time, and the largest answer. Beyond: `M_LIMIT_EXCEEDED`. */
export const WHOAMI_ASKED_MAX = 32;
export const WHOAMI_ANSWER_BYTES_MAX = 65_536;

/** Unknown tokens of one client address within the window, before others of it are refused unchecked. */
export const UNKNOWN_TOKENS_MAX = 100;
export const UNKNOWN_TOKENS_WINDOW_MS = 10_000;

/** A packed filter: its id is a part of URLs. Enough for one that names 600 rooms. */
export const FILTER_BYTES_MAX = 16_384;

/** Entries of one list of types or senders in a filter, and wildcards in one list of types. */
export const FILTER_LIST_MAX = 100;
export const FILTER_WILDCARDS_MAX = 100;

/** Memory for unread counts of users, and for users and their rooms. Beyond, those that are idle are forgotten. */
export const UNREAD_CACHED_BYTES_MAX = 33_554_432;
export const ONLINE_USERS_BYTES_MAX = 67_108_864;

/** Memory for the threads of events, which receipts name. */
export const THREADS_CACHED_BYTES_MAX = 16_777_216;

/** Memory for filters that are ready to use, and the same for what clients called them. */
export const FILTERS_CACHED_BYTES_MAX = 8_388_608;

/** Memory for the deltas that a gateway keeps. A client whose sync token is older gets its rooms from snapshots. */
export const RECENT_BYTES_MAX = 33_554_432;

/** Memory for rooms of `/sync` answers that several clients get alike. */
export const RENDERED_BYTES_MAX = 16_777_216;

/** Deltas of one room, and their bytes, that a `/sync` reads at most. When there are more, it asks for a snapshot. */
export const CHANGES_DELTAS_MAX = 2_000;
export const CHANGES_BYTES_MAX = 1_048_576;

/** How long new sync tokens are sealed with the same key, and how many keys can open one. */
export const SEALING_KEY_AGE_MS = 24 * 3_600_000;
export const SEALING_KEYS_MAX = 31;

/** Memberships beyond what is published that a reader may know, in a sync token too. Beyond, a client is sent rooms once more. */
export const SINCE_MEMBERSHIPS_MAX = 256;

/** Rooms that could not be served, in a sync token. With more, all of their partitions are sent later. */
export const OWED_ROOMS_MAX = 32;

/** First syncs of one user that wait for each other. */
export const COSTLY_SYNCS_WAITING_MAX = 8;

/** Sections of one `/sync`, as JSON. What is beyond is left for the next one, by partitions. */
export const SYNC_BYTES_MAX = 16_777_216;

/** Member events that a gateway keeps for clients that load members lazily. */
export const MEMBER_EVENTS_CACHED_BYTES_MAX = 16_777_216;

/** Rooms whose summary a gateway keeps, about 1 KiB each, and for how long: a name that an import of state sets is not published. */
export const ROOM_SUMMARIES_MAX = 8_192;
export const ROOM_SUMMARY_MS = 60_000;

/** Subjects and rooms whose newest position a gateway knows, so that it drops what is published twice. About 150 bytes each. */
export const SEEN_SUBJECTS_MAX = 65_536;

/** Deltas by which a gateway may be behind the one that wrote a sync token. */
export const GATEWAY_LAG_MAX = 1_000;

/** Events of a room in one `/sync`. Default of the filter's `limit`. */
export const SYNC_TIMELINE_DEFAULT = 10;

/** Devices whose `/sync` is not answered yet. Others get `M_LIMIT_EXCEEDED`, and `retry_after_ms`. */
export const SYNCING_DEVICES_MAX = 10_000;
export const SYNCING_RETRY_MS = 5_000;

/** The longest `timeout` of a `/sync`. */
export const SYNC_TIMEOUT_MS_MAX = 120_000;

/**
 * Changes that follow an answer to a device within this time are gathered for its next answer. The second value is the
 * longest time, for a gateway that is behind.
 */
export const SYNC_GATHER_MS = 30;
export const SYNC_GATHER_MS_MAX = 120;

/** How long an answer waits for the deltas of what it already contains, so that the client doesn't get them twice. */
export const SETTLE_MS_MAX = 2_000;

/** Requests of one user within the window. */
export const USER_REQUESTS_MAX = 2_000;
export const USER_REQUESTS_WINDOW_MS = 10_000;

/* The proxy. */

/** An answer on a path with events, as it comes and decompressed. A larger one passes without orders. */
export const PROXY_ANSWER_BYTES_MAX = 33_554_432;

/** Answers that are held to be annotated, of all clients together. Beyond, they pass without orders. */
export const PROXY_HELD_BYTES_MAX = 268_435_456;

/** How long an answer may wait for its orders, and how long Tidemark may take for one question. */
export const PROXY_ORDER_WAIT_MS = 1_000;
export const PROXY_ORDERS_ANSWER_MS = 500;

/** An event says something about pushes when its sender sent it less than this ago, by the proxy's clock. */
export const PUSH_YOUNG_EVENT_MS = 120_000;

/** The pause between pings while the homeserver's pushes stall. It doubles when one is answered, and still none comes, up to the second value. */
export const PUSH_PING_PAUSE_MS = 5_000;
export const PUSH_PING_PAUSE_MS_MAX = 300_000;

/** How often a partition that did not answer is asked again. */
export const PROXY_ORDER_RETRY_MS = 1_000;

/** Orders in the cache: about 400,000 with ids of the usual length. */
export const PROXY_ORDERS_CACHED_BYTES_MAX = 100_663_296;

/** The body of a request that sets receipts. The receipts of a larger one are passed on, and not told to Tidemark. */
export const PROXY_RECEIPT_BYTES_MAX = 8_192;

/** Requests whose receipts wait to be told to Tidemark. Beyond, they are not told. */
export const PROXY_RECEIPTS_WAITING_MAX = 4_096;

/** How often it is tried to tell Tidemark of receipts, and the first pause. Each further one is twice as long. */
export const PROXY_RECEIPT_ATTEMPTS_MAX = 6;
export const PROXY_RECEIPT_RETRY_MS = 1_000;

/**
 * A `/sync` for the markers of a user who comes through the proxy: how many at a time and (by default) in a second, how long after the
 * last one the user's next request causes another, how long one may take, and the pause after one that failed. When only one user's
 * fails, the pause is twice as long each time, up to the last value.
 */
export const PROXY_MARKER_SYNCS_AT_ONCE = 4;
export const PROXY_MARKER_SYNCS_PER_SECOND = 20;
export const PROXY_MARKER_SYNC_AGE_MS = 300_000;
export const PROXY_MARKER_SYNC_TIMEOUT_MS = 60_000;
export const PROXY_MARKER_SYNC_RETRY_MS = 1_000;
export const PROXY_MARKER_SYNC_RETRY_MS_MAX = 300_000;

/**
 * How long Tidemark may lack a marker that was pushed or shown before its user's markers are read, and after a gap in the pushes, for how
 * long those who were read are read once more: the homeserver may still be busy with what waited.
 */
export const PROXY_MISSED_MARKER_MS = 3_000;
export const PROXY_MARKER_SYNC_AGAIN_MS = 4_000;

/** Markers that wait so. Beyond, their users' are read without a wait. */
export const PROXY_MISSED_MARKERS_MAX = 4_096;

/** Users whose markers a proxy follows, and markers that it has told and doesn't tell again: about 300 bytes each. */
export const PROXY_SYNCED_USERS_MAX = 10_000;
export const PROXY_MARKERS_TOLD_MAX = 200_000;

/** Senders of requests whose user is cached, for `WHOAMI_CACHE_MS`. */
export const PROXY_ASKERS_CACHED_MAX = 10_000;

/** How long a connection to the homeserver may take. Without one, the client is answered with 502. */
export const PROXY_CONNECT_MS = 5_000;

/** After so long without a byte, TCP asks clients and the homeserver whether they are still there; 10 s later they are not. */
export const PROXY_KEEP_ALIVE_MS = 15_000;

/** How long a connection to the homeserver stays open for another request: less than homeservers keep it open. */
export const PROXY_IDLE_MS = 4_000;

/** A client that reads nothing of an answer for this long is disconnected: it may be on a bad network. */
export const PROXY_SLOW_READER_MS = 120_000;

/** When the process ends, requests under way have this long. Long polls are cut off, and asked again by their clients. */
export const PROXY_DRAIN_MS = 1_000;

/* Imports of rooms in the background. */

/** Rooms that a proxy imports at a time, by default, and requests to the homeserver in a second for all of them. */
export const IMPORTS_AT_ONCE = 2;
export const IMPORT_REQUESTS_PER_SECOND = 20;

/** Rooms that wait for their import, or can't be imported. Beyond, those that were named longest ago are forgotten until they are named again. */
export const IMPORTS_WAITING_MAX = 10_000;

/** State of other servers that waits to be confirmed, by keys. About 1 KiB each. */
export const CONFIRMATIONS_WAITING_MAX = 16_384;

/** Rooms to which local users have come back, whose state waits to be read again. */
export const REJOINED_ROOMS_WAITING_MAX = 10_000;

/** History of a room that is held until it is stored, as JSON. */
export const IMPORT_HELD_BYTES_MAX = 16_777_216;

/** The first pause after an import that failed, and the longest. Each further one is twice as long. */
export const IMPORT_RETRY_MS_MIN = 10_000;
export const IMPORT_RETRY_MS_MAX = 3_600_000;

/** When a room is imported again whose beginning the homeserver didn't have: it may get it from other servers. Then twice as long. */
export const IMPORT_AGAIN_MS = 3_600_000;

/** A homeserver that has answered a ping, and then pushes nothing for this long, has nothing left to push. */
export const IMPORT_SILENCE_MS = 30_000;

/** After so long without a sign of the process that imports a room, another one may. */
export const IMPORT_CLAIM_MS = 60_000;

/* HTTP. */

/** A client that reads nothing of an answer for this long is disconnected, at the latest after one and a half times as long. */
export const SLOW_READER_MS = 5_000;

/** And one that has not read all of what it was sent for this long, however much it reads. */
export const SLOW_ANSWER_MS = 120_000;

/** Connections of a process, and those of one client address (or /64 of IPv6). Further ones are closed at once. */
export const CONNECTIONS_MAX = 10_000;
export const CONNECTIONS_PER_NETWORK_MAX = 2_000;

/** Requests on one connection that still wait for their answers after a turn of the event loop. With more, it is closed. */
export const REQUESTS_PER_CONNECTION_MAX = 16;

/** How long a connection stays open for another request. */
export const HTTP_KEEP_ALIVE_MS = 60_000;

/** A request must be complete within this time. */
export const HTTP_REQUEST_MS_MAX = 30_000;
export const HTTP_HEADER_BYTES_MAX = 32_768;
export const HTTP_BODY_BYTES_MAX = 262_144;

/** Wrong passwords and admin tokens from one address within the window. Beyond, none is checked. */
export const WRONG_SECRETS_MAX = 10;
export const WRONG_SECRETS_WINDOW_MS = 60_000;

/* Replay and the inspector. */

/** One line of an exported log, in UTF-16 units. A record has at most 1 MiB, and JSON makes a byte at most six times as long. */
export const LOG_LINE_CHARS_MAX = 8 * 1_048_576;

/** How long `verify` waits for an owner, or for deltas, that are behind the log. */
export const VERIFY_WAIT_MS = 10_000;

/** The shortest admin token. */
export const ADMIN_TOKEN_CHARS_MIN = 16;

/* Processes and their memory. */

/** Checkpoints are written this often, or after this many entries, whichever comes first. */
export const CHECKPOINT_MS = 5_000;
export const CHECKPOINT_ENTRIES = 50_000;

/** A room without entries or questions for this long is passivated. */
export const IDLE_MS = 300_000;

/** Active rooms of a process. Beyond, the least recently used ones are passivated. */
export const ACTIVE_ROOMS_MAX = 10_000;

/** A drain that takes longer is abandoned. Nothing is lost: the log has everything. */
export const DRAIN_MS_MAX = 10_000;

/** A clock that differs this much from the broker's is warned about. */
export const CLOCK_SKEW_WARN_MS = 60_000;

/** How often a warning that would repeat without end is logged. */
export const REPEATED_WARNING_MS = 60_000;

/* The cluster. */

export const PARTITIONS_DEFAULT = 8;
export const PARTITIONS_MAX = 1_024;

/** Replicas of streams and buckets on a cluster of brokers. */
export const CLUSTER_REPLICAS = 3;

/** JetStream's own limit. */
export const REPLICAS_MAX = 5;

/** How long a cluster of brokers that starts may take to elect its leaders, and how often a process checks. */
export const CLUSTER_READY_MS_MAX = 60_000;
export const CLUSTER_READY_POLL_MS = 500;

/** A lease: how often it is renewed, how long after its last renewal its owner stops, and when it expires for others. */
export const LEASE_RENEW_MS = 5_000;
export const LEASE_HOLD_MS = 12_000;
export const LEASE_TTL_MS = 15_000;
