/** What is followed through a room's log: each event, each marker, each held receipt, each membership. */
import type { Order, Position } from "../../../actors/entry.ts";
import type { RejectReason } from "../../../actors/room/fold.ts";
import type { ReceiptType } from "../../matrix/receipt-types.ts";

export interface EventTrack {
  readonly id: string;
  readonly position: Position;
  /** ms since 1970 */
  readonly at: number;
  readonly order: Order;
  readonly thread: string;
  readonly user: string;
  readonly type: string;
  /** F13, until it is redacted. */
  readonly counts: boolean;
  /** Where it was redacted first (F11). */
  redactedAt: Position | undefined;
}

/** A marker's arrival at an event. */
export interface Move {
  /** Where in the log it came to stand there: the receipt, or the event that released it. */
  readonly position: Position;
  readonly at: number;
  readonly event: string;
  readonly order: Order;
  /** The receipt. Before `position` when it was held. */
  readonly receipt: Position;
  /** The marker was inferred, and one whose thread was told has come to cover it: it stands nowhere from here on. */
  readonly gone?: true;
}

export interface MarkerTrack {
  readonly user: string;
  readonly type: ReceiptType;
  /** null: unthreaded */
  readonly thread: string | null;
  /** Of receipts whose thread was not told. */
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
  /** How it ended; undefined while it is held. */
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

/** How many items, sorted by a growing number, are at or before a bound. */
export function countThrough<T>(items: readonly T[], bound: number, key: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(items[middle]!) <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const positionIn = (item: { readonly position: Position }) => item.position;

/** The newest item at or before a position. */
export function lastAt<T extends { readonly position: Position }>(
  items: readonly T[],
  position: Position,
): T | undefined {
  return items[countThrough(items, position, positionIn) - 1];
}

/** Where a marker stands at a position; undefined for nowhere. */
export function placeAt({ moves }: MarkerTrack, position: Position): Move | undefined {
  const move = lastAt(moves, position);
  return move?.gone ? undefined : move;
}

/** Whether a held receipt waits at a position. */
export function isOpenAt(held: HeldTrack, position: Position): boolean {
  return held.position <= position && (held.ended === undefined || held.ended.position > position);
}
