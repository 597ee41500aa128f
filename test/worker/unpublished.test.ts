/** How old the oldest unpublished change is, and how long it took. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { lastPositionOf, type PlacedRecord } from "../../actors/entry.ts";
import { Unpublished } from "../../src/worker/unpublished.ts";

const fetched = (sequence: number, at: number): PlacedRecord[] => [
  { partition: 0, room: undefined, record: { sequence, at, entries: [] } },
];

const unpublished = suite("unpublished changes");

unpublished("are timed from their append, once per fetch, and the oldest one by this process's own clock", () => {
  const now = Date.now();
  let took: number[] = [];
  const changes = new Unpublished((ms) => took.push(ms));
  assert.is(changes.oldestMs, 0);
  changes.folded(fetched(1, now - 5_000), lastPositionOf(1));
  assert.is(changes.oldestMs, 0, "nothing of it has to be published");
  changes.folded(fetched(2, now - 5_000), 0);
  changes.folded(fetched(3, now - 60_000), 0);
  changes.settle(lastPositionOf(1));
  assert.equal(took, []);
  const { oldestMs } = changes;
  assert.ok(oldestMs >= 0 && changes.oldestMs >= oldestMs);
  changes.settle(lastPositionOf(2));
  assert.equal(
    took.map((ms) => ms >= 5_000 && ms < 60_000),
    [true],
    `${took}`,
  );
  took = [];
  changes.settle(Number.POSITIVE_INFINITY);
  assert.equal(
    took.map((ms) => ms >= 60_000),
    [true],
    `${took}`,
  );
  assert.is(changes.oldestMs, 0);
});

unpublished.run();
