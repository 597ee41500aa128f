/** When a proxy takes a homeserver's pushes for stalled, and what it does then. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PushWatch } from "../../src/proxy/push-watch.ts";
import { eventually } from "../support/harness.ts";

interface Watched extends Disposable {
  readonly watch: PushWatch;
  /** Beginnings and ends of stalls. */
  readonly stalls: boolean[];
  readonly pings: string[];
  /** Whether the homeserver refuses pings. */
  isRefusing: boolean;
}

function watched({ pauseMs = 1, canPing = true } = {}): Watched {
  const stalls: boolean[] = [];
  const pings: string[] = [];
  const ping = async () => {
    if (found.isRefusing) throw new Error("refused");
  };
  const watch = new PushWatch({
    ping: canPing ? ping : undefined,
    onStalled: (isStalled) => stalls.push(isStalled),
    onPing: (outcome) => pings.push(outcome),
    pauseMs,
  });
  const found: Watched = { watch, stalls, pings, isRefusing: false, [Symbol.dispose]: () => watch.close() };
  return found;
}

const now = () => performance.now();
const pushes = suite("a homeserver's pushes");

pushes("stall when an event was waited for in vain and no push came meanwhile; a push ends it", () => {
  using homeserver = watched();
  const { watch, stalls } = homeserver;
  const before = now();
  watch.pushed();
  watch.inVain(before);
  assert.equal(stalls, [], "others were pushed meanwhile");
  assert.is(watch.mayWait, true);
  watch.inVain(now() + 1);
  assert.equal(stalls, [true]);
  assert.is(watch.mayWait, false);
  watch.inVain(now() + 1);
  watch.refused();
  assert.equal(stalls, [true], "once");
  watch.pushed();
  watch.pushed();
  assert.equal(stalls, [true, false]);
  assert.is(watch.mayWait, true);
});

pushes("stall when one could not be stored", () => {
  using homeserver = watched();
  homeserver.watch.refused();
  assert.equal(homeserver.stalls, [true]);
});

pushes("are asked for when the process serves, when Tidemark is back, and not before", async () => {
  using homeserver = watched();
  homeserver.watch.back();
  homeserver.watch.refused();
  homeserver.watch.pushed();
  assert.equal(homeserver.pings, []);
  homeserver.watch.serve();
  await eventually(() => homeserver.pings.length === 1, "it is asked");
  homeserver.watch.back();
  await eventually(() => homeserver.pings.length === 2, "it is asked again");
  assert.equal(homeserver.stalls, [true, false]);
});

pushes("are asked for again and again while the homeserver refuses, and waited for once it has answered", async () => {
  using homeserver = watched();
  const { watch, pings, stalls } = homeserver;
  homeserver.isRefusing = true;
  watch.serve();
  watch.inVain(now());
  await eventually(() => pings.length >= 3, "it is asked again");
  assert.is(watch.mayWait, false);
  homeserver.isRefusing = false;
  await eventually(() => pings.at(-1) === "answered", "it answers");
  assert.is(watch.mayWait, true, "pushes are due");
  const { length } = pings;
  watch.inVain(now());
  assert.is(watch.mayWait, false, "they did not come");
  await eventually(() => pings.length === length + 1, "it is asked once more");
  watch.pushed();
  assert.equal(stalls, [true, false], "one stall");
});

pushes("are no longer waited for by answers that began before the ping was answered", async () => {
  using homeserver = watched();
  const { watch, pings } = homeserver;
  watch.serve();
  const began = now();
  watch.inVain(began);
  await eventually(() => pings.length > 0 && watch.mayWait, "it answers");
  watch.inVain(began);
  assert.is(watch.mayWait, true);
});

pushes("are asked for at most once in a pause, whatever happens", async () => {
  using homeserver = watched({ pauseMs: 60_000 });
  const { watch, pings } = homeserver;
  watch.serve();
  await eventually(() => pings.length === 1, "the first");
  for (let i = 0; i < 5; i++) {
    watch.inVain(now() + 1);
    watch.back();
    watch.pushed();
  }
  watch.inVain(now() + 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(pings.length, 1);
});

pushes("that nobody can ask for are waited for again when one comes", () => {
  using homeserver = watched({ canPing: false });
  homeserver.watch.serve();
  homeserver.watch.inVain(now());
  assert.is(homeserver.watch.mayWait, false);
  homeserver.watch.pushed();
  assert.is(homeserver.watch.mayWait, true);
});

pushes.run();
