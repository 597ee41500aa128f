/**
 * The events of a room by order: all of them, and those that relate to a given event. So the cost of a page of history depends on
 * the page, not on the room.
 *
 * An order is a position or, for a backfilled event, a negated position (F1), and positions only grow. So orders that the store
 * doesn't have yet lie beyond one end or the other of those that it has:
 *
 *     ◀── backfilled since ──┃── the store's ──┃── live since ──▶
 */
import type { EventId } from "../../src/matrix/ids.ts";
import type { Order } from "../entry.ts";

/** All events (`ALL`), or those that relate to this one. */
export type Related = EventId | typeof ALL;
export const ALL = "";

export interface OrderRange {
  /** b: towards older events. */
  readonly dir: "b" | "f";
  /** Both exclusive. */
  readonly above: Order;
  readonly below: Order;
}

/** The part of the index that a store has. */
export interface OrderRows {
  range(of: Related, range: OrderRange): Iterable<Order>;
}

type Orders = Map<Related, Order[]>;

export class EventOrders {
  readonly #stored: OrderRows | undefined;
  /** undefined when empty. */
  #added: Orders | undefined;
  #collected: Orders | undefined;

  constructor(stored?: OrderRows) {
    this.#stored = stored;
  }

  add(order: Order, of: Related): void {
    this.#added ??= new Map();
    const orders = this.#added.get(of);
    if (orders === undefined) this.#added.set(of, [order]);
    else orders.push(order);
  }

  /** The orders of a range, in its direction. Reads no more than is consumed. */
  *range(of: Related, range: OrderRange): Generator<Order> {
    const { dir, above, below } = range;
    const since = [...(this.#collected?.get(of) ?? []), ...(this.#added?.get(of) ?? [])]
      .filter((order) => order > above && order < below)
      .sort((a, b) => (dir === "f" ? a - b : b - a));
    const before = since.filter((order) => order < 0 === (dir === "f"));
    yield* before;
    if (this.#stored !== undefined) yield* this.#stored.range(of, range);
    yield* since.slice(before.length);
  }

  /** Calls back with each order that was added since the last time. It stays in memory until `committed`. */
  collect(each: (of: Related, order: Order) => void): void {
    this.#collected = this.#added;
    this.#added = undefined;
    for (const [of, orders] of this.#collected ?? []) for (const order of orders) each(of, order);
  }

  /** Called when the store has the collected orders. */
  committed(): void {
    this.#collected = undefined;
  }
}
