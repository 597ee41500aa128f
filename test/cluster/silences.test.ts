import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Silences } from "./silences.ts";

const silences = suite("silences of partitions");

silences("last from an acknowledged entry to the first delta that comes then", () => {
  const silent = new Silences();
  const period = silent.begin(0);
  silent.entered(3, 7, 100);
  silent.entered(3, 8, 150);
  silent.spoke(3, 8, 400);
  silent.entered(1, 2, 500);
  silent.spoke(1, 2, 600);
  assert.equal(period.end(9_000), { partition: 3, silentMs: 300 });
});

silences("go on from a delta that is behind what is acknowledged", () => {
  const silent = new Silences();
  const period = silent.begin(0);
  silent.entered(0, 7, 100);
  silent.spoke(0, 5, 200);
  silent.spoke(0, 7, 900);
  assert.equal(period.end(1_000), { partition: 0, silentMs: 700 });
  assert.is(silent.spokenThrough(0), 7);
});

silences("are none while a partition has nothing to say", () => {
  const silent = new Silences();
  silent.entered(0, 1, 0);
  silent.spoke(0, 1, 10);
  const period = silent.begin(10);
  silent.spoke(0, 3, 5_000);
  silent.entered(0, 2, 6_000); // Its delta came before its acknowledgement.
  silent.entered(0, 3, 6_000);
  assert.equal(period.end(60_000), { partition: undefined, silentMs: 0 });
});

silences("of a partition that never speaks again last until the end of the period", () => {
  const silent = new Silences();
  silent.entered(2, 1, 0);
  const period = silent.begin(1_000);
  assert.equal(period.end(61_000), { partition: 2, silentMs: 60_000 });
});

silences("are measured by each period for itself", () => {
  const silent = new Silences();
  const first = silent.begin(0);
  silent.entered(0, 1, 0);
  silent.spoke(0, 1, 50);
  const second = silent.begin(100);
  silent.entered(0, 2, 110);
  silent.spoke(0, 2, 120);
  assert.is(second.end(200).silentMs, 10);
  assert.is(first.end(200).silentMs, 50);
});

silences.run();
