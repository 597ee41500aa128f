/** What `RoomHistory` records, one track for each event, marker, held receipt and membership. */
import type { Order, Position } from "../../../actors/entry.ts";
import type { RejectReason } from "../../../actors/room/outcome.ts";
import type { ReceiptType } from "../../matrix/receipt-types.ts";

/** The thread of an event from a position on (F3, F11). */
interface ThreadMove {
  readonly position: Position;
  readonly thread: string;
}

export interface EventTrack {
  readonly id: string;
  readonly position: Position;
  /** Unix time in ms, of the record. */
  readonly at: number;
  /** Whether it came live, not as history or backfill. */
  readonly live: boolean;
  readonly order: Order;
  /** In log order, never empty. */
  readonly threads: ThreadMove[];
  readonly user: string;
  readonly type: string;
  /** Whether it counts as unread (F13) before a redaction. */
  readonly counts: boolean;
  /** The position of the first redaction (F11), or of the erasure (F14). */
  redactedAt: Position | undefined;
}

/** A move of a marker to an event. */
export interface Move {
  /** The entry that moved it: the receipt, or the event that released the receipt. */
  readonly position: Position;
  readonly at: number;
  readonly event: string;
  readonly order: Order;
  /** The entry of the receipt. Before `position` if it was held. */
  readonly receipt: Position;
  /** The marker is gone from here on: its user was erased (F14), or it was inferred, and one of known thread covers it. */
  readonly gone?: true;
}

export interface MarkerTrack {
  readonly user: string;
  readonly type: ReceiptType;
  /** null: unthreaded. */
  readonly thread: string | null;
  /** Set by receipts of unknown thread. */
  readonly inferred: boolean;
  /** Positions grow. Orders grow as well (F7), except those of an `m.fully_read` that a homeserver replaced. */
  readonly moves: Move[];
}

export interface HeldTrack {
  readonly position: Position;
  readonly at: number;
  readonly user: string;
  readonly type: string;
  readonly thread: string | null;
  readonly event: string;
  /** How it was judged; undefined while it is held. */
  ended:
    | {
        readonly position: Position;
        readonly at: number;
        readonly outcome: "released" | "stale" | "rejected";
        readonly reason: RejectReason | undefined;
      }
    | undefined;
}

export interface Membership {
  readonly position: Position;
  readonly membership: string;
}

/** F12. A user's stay in the room: the position from which it is known, and the order of the event that began it. */
export interface Stay {
  readonly position: Position;
  readonly order: Order;
}

/**
 * Events of positive order that are, or once were, in one thread. Live events grow in order as they come, history falls (F1):
 *
 *     order  ◀── history, newest entry first ──┃── live, oldest entry first ──▶
 */
export class OrderedEvents {
  readonly #live: EventTrack[] = [];
  readonly #history: EventTrack[] = [];

  add(event: EventTrack): void {
    const events = event.live ? this.#live : this.#history;
    const at = countThrough(events, event.position, positionIn);
    if (events[at - 1] !== event) events.splice(at, 0, event);
  }

  /** The events that were known at a position, the greatest order first. */
  *newestFirst(position: Position): Generator<EventTrack> {
    for (let i = countThrough(this.#live, position, positionIn) - 1; i >= 0; i--) yield this.#live[i]!;
    const known = countThrough(this.#history, position, positionIn);
    for (let i = 0; i < known; i++) yield this.#history[i]!;
  }
}

/** Returns the number of items whose key is at most `bound`. The items must be sorted by the key. */
export function countThrough<T>(items: readonly T[], bound: number, key: (item: T) => number): number {
  return countWhile(items, (item) => key(item) <= bound);
}

/**
 * Returns the number of leading items that satisfy the predicate, by binary search: no item after them may satisfy it.
 */
export function countWhile<T>(items: readonly T[], predicate: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (predicate(items[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const positionIn = (item: { readonly position: Position }) => item.position;

/** Returns the newest item at or before a position. */
export function lastAt<T extends { readonly position: Position }>(
  items: readonly T[],
  position: Position,
): T | undefined {
  return items[countThrough(items, position, positionIn) - 1];
}

/** Returns the move that gave the marker its place at a position; undefined if it has no place then. */
export function placeAt({ moves }: MarkerTrack, position: Position): Move | undefined {
  const move = lastAt(moves, position);
  return move?.gone ? undefined : move;
}

/** The thread of an event at a position, at which it is known. */
export function threadAt({ threads }: EventTrack, position: Position): string {
  return (lastAt(threads, position) ?? threads[0]!).thread;
}

/** Whether the receipt is held at a position. */
export function isOpenAt(held: HeldTrack, position: Position): boolean {
  return held.position <= position && (held.ended === undefined || held.ended.position > position);
}
