/** Pages of a room's events by order: the same as if all events were looked at, and they seldom are. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, type Order, positionOf } from "../../actors/entry.ts";
import { fold } from "../../actors/fold.ts";
import { Room } from "../../actors/room.ts";
import type { EventId } from "../../src/matrix/ids.ts";
import { EventOrders, type OrderRange } from "../../src/worker/event-orders.ts";
import { backfilled, live, ROOM } from "../support/given.ts";
import { check } from "../support/property.ts";

class FoldedRoom extends Room {
  /** How often all events were looked at. */
  walks = 0;
  #sequence = 0;

  constructor() {
    super(ROOM);
    const walk = this.events[Symbol.iterator].bind(this.events);
    this.events[Symbol.iterator] = () => {
      this.walks++;
      return walk();
    };
  }

  /** As a worker does it. */
  fold(...entries: Entry[]): void {
    for (const entry of entries) {
      const position = positionOf(++this.#sequence, 0);
      if (fold(this, position, entry).outcome === "ordered") this.changed.events = position;
    }
  }
}

let made = 0;
const lives = (count: number) => Array.from({ length: count }, () => live(`$e${made++}`));
const backfills = (count: number) => Array.from({ length: count }, () => backfilled(`$e${made++}`));

/** What a page has to have, from all events. */
function expected(room: Room, { dir, from, to, max }: OrderRange): Order[] {
  const beyond = (order: Order, than: Order) => (dir === "f" ? order > than : order < than);
  return Array.from(room.events as Iterable<readonly [EventId, { order: Order }]>, ([, { order }]) => order)
    .filter((order) => from === undefined || beyond(order, from))
    .filter((order) => to === undefined || beyond(to, order))
    .sort((a, b) => (dir === "f" ? a - b : b - a))
    .slice(0, max + 1);
}

const orders = suite("event orders");

orders("a page is the same whatever came since the page before, and whatever was known then", () => {
  const place = fc.option(fc.integer({ min: -400, max: 400 }), { nil: undefined });
  const step = fc.oneof(
    fc.integer({ min: 1, max: 120 }).map((count) => ({ live: count })),
    fc.integer({ min: 1, max: 20 }).map((count) => ({ backfilled: count })),
    fc.record({
      dir: fc.constantFrom("b" as const, "f" as const),
      from: place,
      to: place,
      max: fc.integer({ min: 1, max: 100 }),
    }),
  );
  check(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const room = new FoldedRoom();
      const known = new EventOrders();
      for (const step of steps) {
        if ("live" in step) room.fold(...lives(step.live));
        else if ("backfilled" in step) room.fold(...backfills(step.backfilled));
        else {
          const scaled = (order: number | undefined) => (order === undefined ? undefined : order * positionOf(1, 0));
          const range = { ...step, from: scaled(step.from), to: scaled(step.to) };
          assert.equal(known.page(room, range), expected(room, range));
        }
      }
    }),
  );
});

orders("who goes back through a room looks at all of its events once, however many come meanwhile", () => {
  const room = new FoldedRoom();
  room.fold(...lives(500), ...backfills(100));
  const known = new EventOrders();
  let from: Order | undefined;
  let seen = 0;
  for (;;) {
    const page = known.page(room, { dir: "b", from, max: 20 });
    seen += Math.min(page.length, 20);
    from = page[19];
    if (page.length <= 20) break;
    room.fold(...lives(30));
  }
  assert.is(seen, 600);
  assert.is(room.walks, 2, "at the first page, and at the oldest events, which may not be the oldest any more");
});

orders("the newest events of a busy room are told by its timeline", () => {
  const room = new FoldedRoom();
  room.fold(...lives(500));
  const known = new EventOrders();
  for (let n = 0; n < 10; n++) {
    assert.is(known.page(room, { dir: "b", max: 10 }).length, 11);
    room.fold(...lives(50));
  }
  assert.is(room.walks, 1);
});

orders.run();
