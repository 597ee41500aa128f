/**
 * The place in a room's history that a position of the log stands for.
 *
 *     position  ▲  ╲              ╱       history ever further back, live events ever further on (F1)
 *               │   ╲          ╱
 *               │    ╲ history╱ live
 *               │     ╲    ╱
 *               │       first event
 *               └──────────────────▶ order
 *
 * Positions fall towards the first event of the room, and rise after it. So the newest event that was known at some time is found
 * without reading those that came later.
 */
import type { Order, Position } from "../../../actors/entry.ts";
import { ALL } from "../../../actors/room/order-index.ts";
import type { Room } from "../../../actors/room/room.ts";
import { TIMELINE_EVENTS_MAX } from "../../limits.ts";

/** Returns the greatest positive order of the events up to a position; 0 if there is none. */
export function greatestOrder(room: Room, through: Position): Order {
  const { timeline } = room;
  const recent = timeline.findLast(({ position }) => position <= through);
  if (recent !== undefined) return recent.order;
  return timeline.length < TIMELINE_EVENTS_MAX ? 0 : search(room, through);
}

function search({ byOrder, orders }: Room, through: Position): Order {
  let low = orders.smallest - 1;
  let high = orders.greatest;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const [at, before] = firstTwo(byOrder.range(ALL, { dir: "b", above: orders.smallest - 1, below: middle + 1 }));
    const isHistory = at !== undefined && before !== undefined && before[1] > at[1];
    if (at === undefined || isHistory || at[1] <= through) low = middle;
    else high = at[0] - 1;
  }
  const [found] = firstTwo(byOrder.range(ALL, { dir: "b", above: 0, below: low + 1 }));
  return found !== undefined && found[1] <= through ? found[0] : 0;
}

function firstTwo<T>(items: Iterable<T>): T[] {
  const first: T[] = [];
  for (const item of items) if (first.push(item) === 2) break;
  return first;
}
