/**
 * What the room log holds (docs/design.md#records) and where it stands there.
 *
 * An entry is a tuple, because decoding is what the hot path pays for. Its first item says what it is; the numbers are
 * stored, so they never change.
 */
import { ENTRIES_PER_RECORD_MAX } from "../src/limits.ts";
import type { MatrixEvent } from "../src/matrix/event.ts";
import type { EventId, ServerName, ThreadId, UserId } from "../src/matrix/ids.ts";
import type { ReceiptType } from "../src/matrix/receipt.ts";

export const LIVE = 0;
export const BACKFILLED = 1;
export const RECEIPT = 2;
export const STATE = 3;

export type EventEntry = readonly [kind: typeof LIVE | typeof BACKFILLED | typeof STATE, event: MatrixEvent];

/**
 * The thread of a receipt whose source doesn't say whether it has one: some homeservers leave `thread_id` out of what
 * they push to application services. It is no thread id, and never published; the fold says what it stands for.
 */
export const UNTOLD = "?";

/** `thread` is null for an unthreaded receipt, `origin` for one of a local user. */
export type ReceiptEntry = readonly [
  kind: typeof RECEIPT,
  user: UserId,
  type: ReceiptType,
  event: EventId,
  thread: ThreadId | typeof UNTOLD | null,
  ts: number,
  origin: ServerName | null,
];

export type Entry = EventEntry | ReceiptEntry;

/** One message of the log: entries of one room that were appended together at `at` (ingress clock, ms). */
export interface LogRecord {
  readonly sequence: number;
  readonly at: number;
  readonly entries: readonly Entry[];
}

/** Where an entry stands in its partition: a total order (docs/design.md#words). */
export type Position = number;

/** The order of an event (MSC4033): its position when it is live, the negative of it when it is backfilled (F1). */
export type Order = number;

export function positionOf(sequence: number, index: number): Position {
  return sequence * ENTRIES_PER_RECORD_MAX + index;
}

/** The last position that a record can have, however many entries it has. */
export function lastPositionOf(sequence: number): Position {
  return positionOf(sequence, ENTRIES_PER_RECORD_MAX - 1);
}

export function sequenceOf(position: Position): number {
  return Math.floor(position / ENTRIES_PER_RECORD_MAX);
}

export function indexOf(position: Position): number {
  return position % ENTRIES_PER_RECORD_MAX;
}

/** What is kept of an event for ever. Its body stays in the log, at the position that its order tells. */
export interface EventInfo {
  /** Markers point at the event with this very string, so that a room has one copy of it and not one a marker. */
  readonly id: EventId;
  readonly order: Order;
  /** F3. Settled when the event was folded. */
  readonly thread: ThreadId;
  readonly sender: UserId;
  /** F13, until the event is redacted (F11). */
  counts: boolean;
  /** The redaction, once there was one. */
  redaction?: EventId;
}
