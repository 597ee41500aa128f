/** How long a gateway gathers changes into one response: longer while it is overloaded. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GatherTime, gatherMs } from "../../../src/gateway/sync/gather-time.ts";
import { SYNC_GATHER_MS, SYNC_GATHER_MS_MAX } from "../../../src/limits.ts";
import { eventually } from "../../support/harness.ts";

const gathering = suite("gather time");

gathering("grows with the turns of the event loop, between two bounds", () => {
  for (const quiet of [Number.NaN, 0, 10, 20]) assert.is(gatherMs(quiet), SYNC_GATHER_MS, `${quiet} ms`);
  assert.is(gatherMs(30), 60);
  assert.is(gatherMs(40), 90);
  for (const late of [50, 60, 10_000]) assert.is(gatherMs(late), SYNC_GATHER_MS_MAX, `${late} ms`);
});

gathering("is longer while turns are long, and recovers afterwards", async () => {
  const gather = new GatherTime();
  assert.is(gather.ms, SYNC_GATHER_MS);
  const isLonger = () => {
    for (const end = performance.now() + 60; performance.now() < end; );
    return gather.ms > SYNC_GATHER_MS;
  };
  await eventually(isLonger, "long turns are noticed");
  await eventually(() => gather.ms === SYNC_GATHER_MS, "the default again");
  gather.close();
});

gathering.run();
