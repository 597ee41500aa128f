/**
 * The entries of the room log (docs/design.md#records), and their positions.
 *
 * An entry is a tuple, because decoding dominates the cost of the hot path. The first item is its kind. These numbers
 * are stored in the log, so they never change.
 */
import { ENTRIES_PER_RECORD_MAX } from "../src/limits.ts";
import type { MatrixEvent } from "../src/matrix/event.ts";
import type { EventId, RoomId, ServerName, ThreadId, UserId } from "../src/matrix/ids.ts";
import type { ReceiptType } from "../src/matrix/receipt-types.ts";

export const LIVE = 0;
export const BACKFILLED = 1;
export const RECEIPT = 2;
export const STATE = 3;
export const ERASURE = 4;
export const HISTORY = 5;
/** Not of a room: how a log begins (`LogStart`). */
export const BASE = 6;

/** An event that gets an order (F1). `order` is set for an imported event: the order it had in the exported log. */
export type TimelineEntry = readonly [
  kind: typeof LIVE | typeof BACKFILLED | typeof HISTORY,
  event: MatrixEvent,
  order?: Order,
];

/** How events came, as it is published: see the kinds above. */
export type EventArrival = "live" | "history" | "backfill";

export const ARRIVALS: Readonly<Record<TimelineEntry[0], EventArrival>> = {
  [LIVE]: "live",
  [HISTORY]: "history",
  [BACKFILLED]: "backfill",
};

/** Current state, without an order. `asOf` is the order of the newest live event when the state was read (F10). */
export type StateEntry = readonly [kind: typeof STATE, event: MatrixEvent, asOf?: Order];

export type EventEntry = TimelineEntry | StateEntry;

/**
 * The thread of a receipt whose source doesn't say whether it was threaded: some homeservers leave out `thread_id` when
 * they push receipts to application services. It is not a thread id and is never published. `room/fold-receipt.ts`
 * interprets it.
 */
export const UNKNOWN_THREAD = "?";

/**
 * `thread` is null for an unthreaded receipt, `origin` is null for the receipt of a local user. `accepted`: a homeserver
 * has accepted the receipt with the thread it names (F6).
 */
export type ReceiptEntry = readonly [
  kind: typeof RECEIPT,
  user: UserId,
  type: ReceiptType,
  event: EventId,
  thread: ThreadId | typeof UNKNOWN_THREAD | null,
  ts: number,
  origin: ServerName | null,
  accepted?: true,
];

/**
 * A user is erased from the room (F14): the markers, the held receipts, and the content of these events, which are the user's. Receipts that were sent up to
 * `before`, Unix time in ms, are never taken again.
 */
export type ErasureEntry = readonly [kind: typeof ERASURE, user: UserId, before: number, events: readonly EventId[]];

export type Entry = EventEntry | ReceiptEntry | ErasureEntry;

export function hasEvent(entry: Entry): entry is EventEntry {
  return entry[0] !== RECEIPT && entry[0] !== ERASURE;
}

/** Whether the entry has an event that gets an order (F1). */
export function isTimeline(entry: Entry): entry is TimelineEntry {
  return hasEvent(entry) && entry[0] !== STATE;
}

/** How a partition's log begins (docs/design.md#records). */
export interface LogStart {
  /** Positive orders begin behind it (F1). */
  readonly base: Order;
  /** A random id of the log. */
  readonly lineage: string;
  /** The lineage that this one was restored from; null for a new log. */
  readonly parent: string | null;
}

/** One message of the log: entries of one room, appended together. `at`: Unix time in ms, by the clock of ingress. */
export interface LogRecord {
  readonly sequence: number;
  readonly at: number;
  /** null: an item that is no valid entry. It has the outcome `noted`, and its neighbours keep their positions. */
  readonly entries: readonly (Entry | null)[];
}

/** A message of a partition's log: a record of a room, or none. */
export interface PlacedRecord {
  readonly partition: number;
  /** undefined: it is no record of a room, and has no entries. */
  readonly room: RoomId | undefined;
  readonly record: LogRecord;
  /** How the log begins: with its first message. */
  readonly start?: LogStart;
  /** Why the message is no record, for a person. The fold goes on after it. */
  readonly stray?: string;
}

/** A record of a room. */
export type RoomRecord = PlacedRecord & { readonly room: RoomId };

export function isRoomRecord(placed: PlacedRecord): placed is RoomRecord {
  return placed.room !== undefined;
}

/** The place of an entry in the log of its partition, as a total order (docs/design.md#words). */
export type Position = number;

/** The order of an event (MSC4033), by F1: positive for live events and history, negative for backfill. */
export type Order = number;

/**
 * An order that is read from a file or a log is at most so far from 0, and a log's base at most so large: beyond 2^53 two events
 * would have the same order. From one to the other there is space for 190,000 imports, and from there for 2^48 events.
 */
export const ORDER_MAX: Order = 2 ** 53 - 2 ** 48;
export const BASE_MAX: Order = 2 ** 53 - 2 ** 50;

export function positionOf(sequence: number, index: number): Position {
  return sequence * ENTRIES_PER_RECORD_MAX + index;
}

/** Returns the greatest position that an entry of this record can have. */
export function lastPositionOf(sequence: number): Position {
  return positionOf(sequence, ENTRIES_PER_RECORD_MAX - 1);
}

export function sequenceOf(position: Position): number {
  return Math.floor(position / ENTRIES_PER_RECORD_MAX);
}

export function indexOf(position: Position): number {
  return position % ENTRIES_PER_RECORD_MAX;
}

/** What a room stores about an event, permanently. */
export interface EventInfo {
  /** Markers share this string object, so that a room stores each event id once. */
  readonly id: EventId;
  readonly order: Order;
  /** Where the log has the body. */
  readonly position: Position;
  readonly sender: UserId;
  /** F3. `main` for the time being while the event is unsettled. */
  thread: ThreadId;
  /** Whether the thread is known for good, but for F11. */
  settled: boolean;
  /** Whether the thread is that of the event which this one relates to (F3). */
  inherits: boolean;
  /** The thread that the event was in before a redaction moved it to `main` (F11). */
  movedFrom?: ThreadId;
  /** Whether the event counts as unread (F13). A redaction sets it to false (F11). */
  counts: boolean;
  /** The id of the first event that redacted this one; its own if it was erased (F14). */
  redaction?: EventId;
}
