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

/** Records that a partition asks the log for ahead of the fold. */
export const FETCH_RECORDS_MAX = 2_048;

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

/** Checkpoints are written so often, and after so many entries, whichever comes first. */
export const CHECKPOINT_MS = 1_000;
export const CHECKPOINT_ENTRIES = 50_000;

/** The longest that a timer of Node waits. */
export const TIMER_MS_MAX = 2_147_483_647;

/** Rows of each kind that an active room keeps in memory beyond those that no checkpoint has yet. */
export const HOT_ROWS_MAX = 1_024;

/** A room without entries or questions for so long is passivated. */
export const IDLE_MS = 300_000;

/** Active rooms of a process; beyond it the least recently used are passivated. */
export const ACTIVE_ROOMS_MAX = 10_000;

// The cluster.

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

/** How often at most an owner tells its standby how far it has published, and how often at least. */
export const PUBLISHED_TELL_MS = 100;
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
