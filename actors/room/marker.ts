/** A marker: how far a user has read, by one type of receipt, in one thread or in all of them. */
import type { EventId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import type { ReceiptType } from "../../src/matrix/receipt-types.ts";
import type { Order, Position } from "../entry.ts";

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
  /** Its receipt's thread is unknown: `thread` is the event's. */
  readonly inferred?: true;
}

/** F8. The order that a receipt shows for the event it points at. */
export function publishedOrder(marker: Marker): Order {
  return Math.max(0, marker.order);
}
