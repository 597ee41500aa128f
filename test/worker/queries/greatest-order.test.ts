/** The newest event that a room had at some position of the log. */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { greatestOrder } from "../../../src/worker/queries/greatest-order.ts";
import { backfilled, history, live, receipt } from "../../support/entries.ts";
import { at, given } from "../../support/given.ts";
import { check } from "../../support/property.ts";

const BOB = "@bob:one.example";
/** More than a timeline has. */
const ENTRIES_MAX = 400;

/** Runs of entries of one kind, so that a room has long stretches of each. */
const runs = fc.array(fc.tuple(fc.constantFrom(live, history), fc.integer({ min: 1, max: 150 })), { maxLength: 6 });

const newest = suite("the newest event by a position");

newest("is the one of the greatest order among those up to it, in any mixture of live events and history", () => {
  check(
    fc.property(runs, fc.nat(5), (plan, older) => {
      const entries = plan.flatMap(([kind, count], run) =>
        Array.from({ length: count }, (_, i) => kind(`$${run}-${i}`)),
      );
      const backfill = Array.from({ length: older }, (_, i) => backfilled(`$old${i}`));
      const story = given(...entries.slice(0, ENTRIES_MAX), ...backfill, live("$end"));
      const events = Array.from(story.room.events, ([, event]) => event);
      for (let n = 0; n <= events.length; n += 7) {
        const known = events.filter(({ order, position }) => order > 0 && position <= at(n));
        assert.is(greatestOrder(story.room, at(n)), Math.max(0, ...known.map(({ order }) => order)), `at ${n}`);
      }
    }),
  );
});

newest("does not depend on what else the log has", () => {
  const story = given(receipt(BOB as never, "$1"), live("$1"), receipt(BOB as never, "$1"), live("$1"), live("$2"));
  assert.equal(
    [1, 2, 3, 4, 5, 9].map((n) => greatestOrder(story.room, at(n))),
    [0, 1_001, 1_001, 1_001, 1_002, 1_002],
  );
  assert.is(greatestOrder(given().room, at(1)), 0);
});

newest.run();
