/** What `RoomHistory` records, one track for each event, marker, held receipt and membership. */
import type { Order, Position } from "../../../actors/entry.ts";
import type { RejectReason } from "../../../actors/room/fold.ts";
import type { ReceiptType } from "../../matrix/receipt-types.ts";

export interface EventTrack {
  readonly id: string;
  readonly position: Position;
  /** Unix time in ms, of the record. */
  readonly at: number;
  readonly order: Order;
  readonly thread: string;
  readonly user: string;
  readonly type: string;
  /** Whether it counts as unread (F13) before a redaction. */
  readonly counts: boolean;
  /** The position of the first redaction (F11). */
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
  /** The inferred marker was dropped, because a marker of known thread covers it from here on. */
  readonly gone?: true;
}

export interface MarkerTrack {
  readonly user: string;
  readonly type: ReceiptType;
  /** null: unthreaded. */
  readonly thread: string | null;
  /** Set by receipts of unknown thread. */
  readonly inferred: boolean;
  /** Positions and orders grow (F7). */
  readonly moves: Move[];
}

export interface HeldTrack {
  readonly position: Position;
  readonly at: number;
  readonly user: string;
  readonly type: string;
  readonly thread: string | null;
  readonly event: string;
  /** How it was settled; undefined while it is held. */
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

/** Whether the receipt is held at a position. */
export function isOpenAt(held: HeldTrack, position: Position): boolean {
  return held.position <= position && (held.ended === undefined || held.ended.position > position);
}
