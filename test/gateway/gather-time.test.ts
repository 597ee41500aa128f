/** For how long a gateway gathers changes into one answer: longer while it is behind, and no longer than that. */
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GatherTime, gatherMs } from "../../src/gateway/gather-time.ts";
import { SYNC_GATHER_MS, SYNC_GATHER_MS_MAX } from "../../src/limits.ts";

const PATIENCE_MS = 20_000;

const gathering = suite("gather time");

gathering("follows the turns of the event loop, between two bounds", () => {
  for (const quiet of [Number.NaN, 0, 10, 20]) assert.is(gatherMs(quiet), SYNC_GATHER_MS, `${quiet} ms`);
  assert.is(gatherMs(30), 60);
  assert.is(gatherMs(40), 90);
  for (const late of [50, 60, 10_000]) assert.is(gatherMs(late), SYNC_GATHER_MS_MAX, `${late} ms`);
});

gathering("is longer while turns are long, and as before when they are over", async () => {
  const gather = new GatherTime();
  const deadline = performance.now() + PATIENCE_MS;
  const until = async (reached: () => boolean, step: () => Promise<void>) => {
    while (!reached()) {
      assert.ok(performance.now() < deadline, `${gather.ms} ms`);
      await step();
    }
  };
  assert.is(gather.ms, SYNC_GATHER_MS);
  await until(
    () => gather.ms > 2 * SYNC_GATHER_MS,
    async () => {
      for (const end = performance.now() + 50; performance.now() < end; );
      await turn();
    },
  );
  await until(
    () => gather.ms === SYNC_GATHER_MS,
    () => delay(5),
  );
  gather.close();
});

gathering.run();
