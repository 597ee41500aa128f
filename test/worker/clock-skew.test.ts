import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Conditions } from "../../src/conditions.ts";
import { ClockSkew } from "../../src/worker/clock-skew.ts";
import { logged } from "../support/logged.ts";

const MINUTE = 60_000;

function observed() {
  const { log, lines } = logged();
  const time = { ms: 0 };
  const skew = new ClockSkew(new Conditions({ log }), () => time.ms);
  return { skew, lines, time, readings: () => Object.fromEntries(skew.readings()) };
}

const clockSkew = suite("clock skew");

clockSkew("is the greatest difference of the last minute or two, with its sign", () => {
  const { skew, time, readings } = observed();
  assert.equal(readings(), {});
  for (const aheadMs of [5, -900, 300]) skew.observe("ingress", aheadMs);
  skew.observe("worker", 7);
  assert.equal(readings(), { ingress: -900, worker: 7 });
  time.ms = MINUTE;
  skew.observe("ingress", 20);
  assert.equal(readings(), { ingress: -900, worker: 7 });
  time.ms = 2 * MINUTE;
  skew.observe("ingress", 10);
  assert.is(readings().ingress, 20);
  time.ms = 10 * MINUTE;
  skew.observe("ingress", 3);
  assert.is(readings().ingress, 3);
});

clockSkew("is a condition from a minute on, for each clock, until it has been less for a minute or two", () => {
  const { skew, lines, time } = observed();
  skew.observe("worker", MINUTE - 1);
  assert.is(lines.length, 0);
  for (let second = 0; second < 119; second++) {
    time.ms = second * 1_000;
    skew.observe("worker", MINUTE);
    skew.observe("ingress", -MINUTE);
  }
  const said = () => lines.map(({ msg, where, aheadMs }) => [msg, where, aheadMs]);
  const begins = "a clock differs from the broker's by a minute or more";
  assert.equal(said(), [
    [begins, "worker", MINUTE],
    [begins, "ingress", -MINUTE],
  ]);
  time.ms = 10 * MINUTE;
  skew.observe("worker", 3);
  assert.equal(said().slice(2), [["a clock agrees with the broker's again", "worker", undefined]]);
});

clockSkew.run();
