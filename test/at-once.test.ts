import { setImmediate as turn } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eachAtOnce } from "../src/at-once.ts";

const atOnce = suite("eachAtOnce");

atOnce("works on every item once, on no more than the limit at the same time", async () => {
  const begun: number[] = [];
  let underWay = 0;
  let most = 0;
  await eachAtOnce(Array(10).keys(), 3, async (item) => {
    begun.push(item);
    most = Math.max(most, ++underWay);
    await turn();
    underWay -= 1;
  });
  assert.equal(begun, [...Array(10).keys()]);
  assert.is(most, 3);
});

atOnce("needs no more items than there are", async () => {
  const done: string[] = [];
  await eachAtOnce(["one"], 3, async (item) => done.push(item));
  await eachAtOnce([], 3, async () => assert.unreachable());
  assert.equal(done, ["one"]);
});

atOnce("starts no further item after a failure, and rejects with it", async () => {
  const begun: number[] = [];
  const failure = new Error("two");
  const ended = eachAtOnce(Array(10).keys(), 2, async (item) => {
    begun.push(item);
    await turn();
    if (item === 2) throw failure;
  });
  assert.is(await ended.catch((error) => error), failure);
  await turn();
  assert.equal(begun, [0, 1, 2, 3]);
});

atOnce.run();
