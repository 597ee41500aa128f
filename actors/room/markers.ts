/**
 * The markers of a room: one per (user, type, thread).
 *
 * Beside them stand inferred markers, of receipts whose thread was not told (`fold.ts`): they never take the place of
 * one whose thread was, and go as soon as one of those covers them.
 *
 * A user has a handful at most, so each user's stand in a short array: a scan of it costs less than a map of composite
 * keys, and every question about a user needs them together.
 */
import type { EventId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { countsAsRead, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import type { Order, Position } from "../entry.ts";
import { type Rows, Table } from "./table.ts";

export interface Marker {
  readonly user: UserId;
  readonly type: ReceiptType;
  /** null: unthreaded. */
  readonly thread: ThreadId | null;
  event: EventId;
  /** The event's own order, not clamped. */
  order: Order;
  /** What the receipt said, ms. */
  ts: number;
  /** Where in the log the marker came to stand here: the receipt, or the event that released it. */
  position: Position;
  /** Its thread was not told: it is the event's. */
  readonly inferred?: true;
}

/** F8. What a receipt says about the order of the event that it points at. */
export function publishedOrder(marker: Marker): Order {
  return Math.max(0, marker.order);
}

const NONE: readonly Marker[] = [];

function covers(marker: Marker, thread: ThreadId, order: Order): boolean {
  return (marker.thread === null || marker.thread === thread) && marker.order >= order;
}

function isInferred({ inferred }: Marker): boolean {
  return inferred === true;
}

function supersedes(told: Marker, { inferred, type, thread, order }: Marker): boolean {
  return inferred === true && type === told.type && covers(told, thread!, order);
}

/** Among a user's markers, the one of a type and thread whose thread was told. */
export function toldMarker(own: readonly Marker[], type: ReceiptType, thread: ThreadId | null): Marker | undefined {
  for (const marker of own) {
    if (marker.thread === thread && marker.type === type && marker.inferred === undefined) return marker;
  }
  return undefined;
}

/** The inferred one of a type and thread. */
export function inferredMarker(own: readonly Marker[], type: ReceiptType, thread: ThreadId): Marker | undefined {
  return own.find((marker) => marker.inferred && marker.type === type && marker.thread === thread);
}

/** A marker of this type that says at least as much as one on an event of this thread and order. */
export function coveringMarker(
  own: readonly Marker[],
  type: ReceiptType,
  { thread, order }: { readonly thread: ThreadId; readonly order: Order },
): Marker | undefined {
  return own.find((marker) => marker.type === type && covers(marker, thread, order));
}

/** Moves a marker to another event. Whoever does says so to `Markers.put`. */
export function moveMarker(marker: Marker, to: Pick<Marker, "event" | "order" | "ts" | "position">): void {
  marker.event = to.event;
  marker.order = to.order;
  marker.ts = to.ts;
  marker.position = to.position;
}

export class Markers {
  readonly rows: Table<UserId, readonly Marker[]>;

  constructor(cold?: Rows<UserId, readonly Marker[]>) {
    this.rows = new Table(cold);
  }

  of(user: UserId): readonly Marker[] {
    return this.rows.get(user) ?? NONE;
  }

  /** The one whose thread was told. */
  get(user: UserId, type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    return toldMarker(this.of(user), type, thread);
  }

  /**
   * Adds a marker to its user's, or says that it has moved. One whose thread was told takes the place of the inferred ones
   * that it has come to cover. `own` is what `of` gave: looking it up again would cost more than all of this.
   */
  put(own: readonly Marker[], marker: Marker): void {
    const left = marker.inferred || !own.some(isInferred) ? own : own.filter((other) => !supersedes(marker, other));
    if (left === own && own.includes(marker)) this.rows.touch(marker.user);
    else this.rows.set(marker.user, left.includes(marker) ? left : [...left, marker]);
  }

  *[Symbol.iterator](): Generator<Marker> {
    for (const [, markers] of this.rows) yield* markers;
  }

  /**
   * F12, the half that markers decide. An event is covered by an unthreaded marker or by one for its thread, of
   * a type that counts as read, whose order is the same or larger. "The same" holds for both kinds: MSC4033 says
   * "after" for unthreaded receipts and "after or the same as" for threaded ones, and its section on equal orders
   * takes "or the same" for granted in both.
   */
  cover(user: UserId, thread: ThreadId, order: Order): boolean {
    return this.readUpTo(user, thread) >= order;
  }

  /** The largest order that the user has read up to in a thread, or in all of them (null); −∞ when there is no marker. */
  readUpTo(user: UserId, thread: ThreadId | null): Order {
    let upTo = Number.NEGATIVE_INFINITY;
    for (const marker of this.of(user)) {
      if (!countsAsRead(marker.type) || marker.order <= upTo) continue;
      if (marker.thread === null || marker.thread === thread) upTo = marker.order;
    }
    return upTo;
  }
}
