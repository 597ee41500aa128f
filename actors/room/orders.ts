/**
 * F1: the orders of a room's events. They grow at the end for live events, and fall at two others:
 *
 *     backfill ◀── smallest ─┃ 0 ┃─ history ◀── smallest ─┃─ base ─┃── greatest ──▶ live
 *
 * An imported event carries the order that it had. It is kept wherever the room's orders still go that way.
 */
import type { EventId } from "../../src/matrix/ids.ts";
import { HISTORY, LIVE, type Order, type TimelineEntry } from "../entry.ts";

/** The ends of a room's orders; 0 while there is none. */
export interface OrderEnds {
  greatest: Order;
  /** The smallest positive one. */
  smallest: Order;
  /** The smallest negative one. */
  negative: Order;
}

interface Ordering {
  readonly orders: OrderEnds;
  /** Positive orders begin behind it. */
  readonly base: Order;
}

/** The order of an event that is not known yet. Moves the end where it belongs. */
export function nextOrder({ orders, base }: Ordering, kind: TimelineEntry[0], imported: Order | undefined): Order {
  if (kind === LIVE) {
    const next = Math.max(orders.greatest, base) + 1;
    const order = imported !== undefined && imported > orders.greatest ? imported : next;
    orders.greatest = order;
    if (orders.smallest === 0) orders.smallest = order;
    return order;
  }
  if (kind === HISTORY && orders.negative === 0 && (imported === undefined || imported > 0)) {
    const next = orders.smallest > 0 ? orders.smallest - 1 : base;
    const fits = imported !== undefined && (orders.smallest === 0 || imported <= next);
    const order = fits ? imported : next;
    if (order > 0) {
      orders.smallest = order;
      if (orders.greatest === 0) orders.greatest = order;
      return order;
    }
  }
  const next = orders.negative - 1;
  orders.negative = imported !== undefined && imported < next ? imported : next;
  return orders.negative;
}

/** The orders of one room's events, without the rest of the fold: for an import. */
export class EventOrders implements Ordering {
  readonly base: Order;
  readonly orders: OrderEnds = { greatest: 0, smallest: 0, negative: 0 };
  readonly #known = new Set<EventId>();

  constructor(base: Order) {
    this.base = base;
  }

  /** Takes the events of a log in their order. Returns undefined for one that is known already (F2). */
  next([kind, event, imported]: TimelineEntry): Order | undefined {
    if (this.#known.has(event.event_id)) return undefined;
    this.#known.add(event.event_id);
    return nextOrder(this, kind, imported);
  }
}
