/** For how long a gateway gathers changes into one answer: longer while it is behind, and no longer than that. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GatherTime, gatherMs } from "../../../src/gateway/sync/gather-time.ts";
import { SYNC_GATHER_MS, SYNC_GATHER_MS_MAX } from "../../../src/limits.ts";
import { eventually } from "../../support/harness.ts";

const gathering = suite("gather time");

gathering("follows the turns of the event loop, between two bounds", () => {
  for (const quiet of [Number.NaN, 0, 10, 20]) assert.is(gatherMs(quiet), SYNC_GATHER_MS, `${quiet} ms`);
  assert.is(gatherMs(30), 60);
  assert.is(gatherMs(40), 90);
  for (const late of [50, 60, 10_000]) assert.is(gatherMs(late), SYNC_GATHER_MS_MAX, `${late} ms`);
});

gathering("is longer while turns are long, and as before when they are over", async () => {
  const gather = new GatherTime();
  assert.is(gather.ms, SYNC_GATHER_MS);
  const isLonger = () => {
    for (const end = performance.now() + 60; performance.now() < end; );
    return gather.ms > SYNC_GATHER_MS;
  };
  await eventually(isLonger, "long turns are seen");
  await eventually(() => gather.ms === SYNC_GATHER_MS, "and that they are over");
  gather.close();
});

gathering.run();
