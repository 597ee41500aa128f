/**
 * The markers of a room: one per (user, type, thread).
 *
 * Inferred markers, of receipts of unknown thread (`fold.ts`), are stored next to them. One never replaces a marker of known
 * thread, and is dropped as soon as such a marker covers it.
 *
 * A user has a handful at most, so each user's markers are in a short array: a scan of it costs less than a map with composite
 * keys, and every question about a user needs all of them.
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
  /** Unix time in ms, as the receipt says. */
  ts: number;
  /** The entry that moved the marker here: the receipt, or the event that released it. */
  position: Position;
  /** The receipt was of unknown thread: `thread` is that of its event. */
  readonly inferred?: true;
}

/** F8. The order in a receipt. */
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

function supersedes(known: Marker, { inferred, type, thread, order }: Marker): boolean {
  return inferred === true && type === known.type && covers(known, thread!, order);
}

/** Among a user's markers of known thread, the one of a type and thread. */
export function knownThreadMarker(
  own: readonly Marker[],
  type: ReceiptType,
  thread: ThreadId | null,
): Marker | undefined {
  for (const marker of own) {
    if (marker.thread === thread && marker.type === type && marker.inferred === undefined) return marker;
  }
  return undefined;
}

/** Among a user's inferred markers, the one of a type and thread. */
export function inferredMarker(own: readonly Marker[], type: ReceiptType, thread: ThreadId): Marker | undefined {
  return own.find((marker) => marker.inferred && marker.type === type && marker.thread === thread);
}

/** A marker of this type that covers an event of this thread and order. */
export function coveringMarker(
  own: readonly Marker[],
  type: ReceiptType,
  { thread, order }: { readonly thread: ThreadId; readonly order: Order },
): Marker | undefined {
  return own.find((marker) => marker.type === type && covers(marker, thread, order));
}

/** Moves a marker to another event. Call `Markers.put` after it. */
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

  /** The marker of known thread of a user, type and thread. */
  get(user: UserId, type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    return knownThreadMarker(this.of(user), type, thread);
  }

  /**
   * Adds a marker, or marks it as moved. A marker of known thread replaces the inferred ones that it covers. `own` is the result
   * of `of`: looking it up again would cost more than the rest.
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
   * a type that counts as read, whose order is the same or larger. "The same" counts for both kinds: MSC4033 says
   * "after" for unthreaded receipts and "after or the same as" for threaded ones, and its section on equal orders
   * assumes "or the same" for both.
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
