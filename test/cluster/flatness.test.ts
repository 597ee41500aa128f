import { suite } from "uvu";
import * as assert from "uvu/assert";
import { flatnessOf } from "./flatness.ts";

const LIMIT = { absolute: 4, relative: 0.1 };
const samples = (count: number, at: (i: number) => number) => Array.from({ length: count }, (_, i) => at(i));

const flatness = suite("flatness over a soak");

flatness("is there when a figure grew in the warm-up alone", () => {
  const { isFlat, growth, median } = flatnessOf(
    samples(90, (i) => Math.min(i, 30) * 10),
    LIMIT,
  );
  assert.is(isFlat, true);
  assert.is(growth, 0);
  assert.is(median, 300);
});

flatness("is not there when a figure grows on and on", () => {
  const { isFlat, growth } = flatnessOf(
    samples(90, (i) => i),
    LIMIT,
  );
  assert.is(isFlat, false);
  assert.ok(growth > 55 && growth < 65, `${growth}`);
});

flatness("bears garbage that is collected now and then, and single peaks", () => {
  assert.is(
    flatnessOf(
      samples(90, (i) => 50 + (i % 7)),
      LIMIT,
    ).isFlat,
    true,
  );
  assert.is(
    flatnessOf(
      samples(90, (i) => (i === 80 ? 1_000 : 50)),
      LIMIT,
    ).isFlat,
    true,
  );
});

flatness("allows for growth within either limit, and for any decline", () => {
  assert.is(
    flatnessOf(
      samples(90, (i) => i / 20),
      LIMIT,
    ).isFlat,
    true,
  );
  assert.is(
    flatnessOf(
      samples(90, (i) => 1_000 + i),
      LIMIT,
    ).isFlat,
    true,
  );
  assert.is(
    flatnessOf(
      samples(90, (i) => 1_000 - i),
      LIMIT,
    ).isFlat,
    true,
  );
});

flatness.run();
