/** What the inspector computes in slices, so that a gateway in the same process goes on. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { inSlices } from "../../../src/in-slices.ts";
import { inspect, inspectSliced } from "../../../src/replay/history/inspect.ts";
import { RoomHistory } from "../../../src/replay/history/room-history.ts";
import { finished, type Sliced } from "../../../src/replay/history/sliced.ts";
import type { Step } from "../../../src/replay/history/step.ts";

const USERS = 200;
const THREADS = 10_000;

/** A room in which every user is joined, with as many threads of one message. */
function manyThreads(threads: number): RoomHistory {
  const history = new RoomHistory("!r:a.org");
  let position = 0;
  const add = (step: Partial<Step>) => {
    position++;
    history.add({
      kind: "event",
      outcome: "ordered",
      at: position,
      position,
      order: position,
      user: "@u0:a.org",
      ...step,
    } as Step);
  };
  for (let i = 0; i < USERS; i++) {
    const user = `@u${i}:a.org`;
    add({
      event: `$join${i}`,
      user,
      type: "m.room.member",
      member: { user, membership: "join" },
      joined: user,
    } as Partial<Step>);
  }
  for (let i = 0; i < threads; i++) add({ event: `$${i}`, thread: `$root${i}`, counts: true } as Partial<Step>);
  return history;
}

function* counting(steps: number): Sliced<number> {
  for (let i = 0; i < steps; i++) yield;
  return steps;
}

const sliced = suite("sliced work");

sliced("is the same as at once", async () => {
  assert.is(finished(counting(5)), 5);
  assert.is(await inSlices(counting(5)), 5);
  function* slow(): Sliced<string> {
    for (const until = performance.now() + 50; performance.now() < until; ) yield;
    return "done";
  }
  let hadTurn = false;
  setImmediate(() => {
    hadTurn = true;
  });
  assert.is(await inSlices(slow()), "done");
  assert.ok(hadTurn, "others had their turn");
});

sliced("the state and the summary of a room with many threads let others go on after each user", async () => {
  const history = manyThreads(THREADS);
  for (const op of ["state", "summary"] as const) {
    let steps = 0;
    const work = inspectSliced(history, { op });
    while (!work.next().done) steps++;
    assert.ok(steps >= USERS, `${op}: ${steps} steps`);
  }
});

sliced("a history that grows meanwhile is answered as of the beginning", async () => {
  const [history, grown] = [manyThreads(10), manyThreads(10)];
  let added = 0;
  const work = inspectSliced(grown, { op: "state" });
  for (let step = work.next(); ; step = work.next()) {
    if (step.done) {
      assert.equal(step.value, inspect(history, { op: "state" }));
      break;
    }
    const position = 10_000 + added++;
    grown.add({
      kind: "event",
      outcome: "ordered",
      at: position,
      position,
      order: position,
      user: "@new:a.org",
      event: `$new${position}`,
      type: "m.room.message",
      counts: true,
    } as Step);
  }
  assert.ok(added > USERS);
});

sliced.run();
