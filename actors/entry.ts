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

export type EventEntry = readonly [kind: typeof LIVE | typeof BACKFILLED | typeof STATE, event: MatrixEvent];

/**
 * The thread of a receipt whose source doesn't say whether it was threaded: some homeservers leave out `thread_id` when
 * they push receipts to application services. It is not a thread id and is never published. `room/fold.ts` interprets
 * it.
 */
export const UNKNOWN_THREAD = "?";

/** `thread` is null for an unthreaded receipt, `origin` is null for the receipt of a local user. */
export type ReceiptEntry = readonly [
  kind: typeof RECEIPT,
  user: UserId,
  type: ReceiptType,
  event: EventId,
  thread: ThreadId | typeof UNKNOWN_THREAD | null,
  ts: number,
  origin: ServerName | null,
];

export type Entry = EventEntry | ReceiptEntry;

/** One message of the log: entries of one room, appended together. `at`: Unix time in ms, by the clock of ingress. */
export interface LogRecord {
  readonly sequence: number;
  readonly at: number;
  readonly entries: readonly Entry[];
}

/** A record and its place: the partition whose log it is in, and the room that its subject names. */
export interface PlacedRecord {
  readonly partition: number;
  readonly room: RoomId;
  readonly record: LogRecord;
}

/** The place of an entry in the log of its partition, as a total order (docs/design.md#words). */
export type Position = number;

/** The order of an event (MSC4033): its position if it is live, the negated position if it is backfilled (F1). */
export type Order = number;

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

/** What a room stores about an event, permanently. The body is in the log, at the position that the order gives. */
export interface EventInfo {
  /** Markers share this string object, so that a room stores each event id once. */
  readonly id: EventId;
  readonly order: Order;
  /** F3. Decided when the event is folded, and fixed from then on. */
  readonly thread: ThreadId;
  readonly sender: UserId;
  /** Whether the event counts as unread (F13). A redaction sets it to false (F11). */
  counts: boolean;
  /** The id of the first event that redacted this one. */
  redaction?: EventId;
}
