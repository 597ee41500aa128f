/** A gateway that does not get its deltas (docs/operations.md#what-is-wrong). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { prepareBus } from "../../src/bus/streams.ts";
import { Conditions } from "../../src/conditions.ts";
import { DeltaWatch } from "../../src/gateway/delta-watch.ts";
import { eventually, startBus } from "../support/harness.ts";
import { logged } from "../support/logged.ts";

const deltaWatch = suite("delta watch");

deltaWatch("says when deltas that are there are not read, and when they are", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 2 });
  const { log, lines } = logged();
  const conditions = new Conditions({ log, patience: 0.001 });
  const read = [0, 0];
  const marks = () => read.map((sequence) => ({ sequence, published: 0, lineage: "" }));
  const watch = new DeltaWatch({ nc: bus.nc, conditions, marks, everyMs: 20 });
  await bus.nc.jetstream().publish("tidemark.client.1.!r.events", "");
  await eventually(() => conditions.has("deltas_unread"), "it is noticed");
  assert.equal(
    conditions.open().map(({ where }) => where),
    ["1"],
  );
  read[1] = 1;
  await eventually(() => !conditions.has("deltas_unread"), "it is over");
  assert.is(lines.length, 2);
  watch.close();
});

deltaWatch.run();
