/**
 * The events of a room in their order, so that a page of its history costs what a page has, and not what the room has.
 *
 * The store knows events by id, so the first page of a room looks at all of them; the orders are kept for the pages
 * after it. What is kept never gets old: an order is a position or, of a backfilled event, a position negated (F1), and
 * positions only grow. So an event that comes later lies beyond one end or the other:
 *
 *     ◀── backfilled later ── −through ┃ … all that is kept … ┃ through ── live later ──▶
 *
 * Live events that came later are in the room's timeline, if they are not too many. Who asks for more than what is
 * known this way has all events looked at again.
 */
import { LRUCache } from "lru-cache";
import type { Order, Position } from "../../actors/entry.ts";
import type { Room } from "../../actors/room.ts";
import { EVENT_ORDERS_CACHED_MAX, TIMELINE_EVENTS_MAX } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";

interface Kept {
  /** The newest event that is here, live or backfilled. */
  readonly through: Position;
  /** Ascending. */
  readonly orders: Float64Array;
}

export interface OrderRange {
  /** b: towards older events. */
  readonly dir: "b" | "f";
  /** Exclusive; the newest or the oldest event without it. */
  readonly from?: Order | undefined;
  /** Exclusive. */
  readonly to?: Order | undefined;
  /** How many orders are wanted. */
  readonly max: number;
}

export class EventOrders {
  readonly #kept = new LRUCache<RoomId, Kept>({
    maxSize: EVENT_ORDERS_CACHED_MAX,
    sizeCalculation: ({ orders }) => orders.length + 1,
  });

  /** The orders of a range, in its direction: as many as are wanted, and one more if there are more. */
  page(room: Room, range: OrderRange): Order[] {
    const kept = this.#kept.get(room.id);
    const known = kept === undefined ? undefined : pageOf(kept, room, range);
    if (known !== undefined) return known;
    const all = read(room);
    this.#kept.set(room.id, all);
    return pageOf(all, room, range)!;
  }
}

function read(room: Room): Kept {
  const orders = Float64Array.from(Array.from(room.events, ([, { order }]) => order));
  return { through: room.changed.events, orders: orders.sort() };
}

/** undefined when there may be events in the range that are not known. */
function pageOf({ through, orders }: Kept, room: Room, { dir, from, to, max }: OrderRange): Order[] | undefined {
  const later = room.timeline.filter((position) => position > through);
  const hasGap = later.length === TIMELINE_EVENTS_MAX;
  const isCurrent = room.changed.events === through;
  const page: Order[] = [];
  const isFull = (order: Order) => page.push(order) > max;
  if (dir === "f") {
    if (!isCurrent && (from ?? Number.NEGATIVE_INFINITY) < -through) return undefined;
    for (let at = from === undefined ? 0 : firstAbove(orders, from); at < orders.length; at++) {
      if ((to !== undefined && orders[at]! >= to) || isFull(orders[at]!)) return page;
    }
    if (hasGap && (to === undefined || to > through) && (from === undefined || from < later[0]!)) return undefined;
    for (const order of later) {
      if (from !== undefined && order <= from) continue;
      if ((to !== undefined && order >= to) || isFull(order)) return page;
    }
    return page;
  }
  for (const order of later.toReversed()) {
    if (from !== undefined && order >= from) continue;
    if ((to !== undefined && order <= to) || isFull(order)) return page;
  }
  if (hasGap && (from === undefined || from > through)) return undefined;
  for (let at = (from === undefined ? orders.length : firstAbove(orders, from - 1)) - 1; at >= 0; at--) {
    if ((to !== undefined && orders[at]! <= to) || isFull(orders[at]!)) return page;
  }
  return isCurrent || (to !== undefined && to >= -through) ? page : undefined;
}

/** The index of the first order beyond a number. Orders are integers. */
function firstAbove(orders: Float64Array, number: number): number {
  let low = 0;
  let high = orders.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (orders[middle]! <= number) low = middle + 1;
    else high = middle;
  }
  return low;
}
