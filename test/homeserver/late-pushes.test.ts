/** A homeserver whose pushes had failed, as Tidemark notices it from those that come later. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LatePushes } from "../../src/homeserver/late-pushes.ts";
import { LATE_PUSH_MS } from "../../src/limits.ts";
import { matrixEvent } from "../../src/matrix/event.ts";
import type { RoomId, ServerName } from "../../src/matrix/ids.ts";
import { eventually, message } from "../support/harness.ts";

const ROOM = "!room:a.org" as RoomId;
const EMPTY = Buffer.from('{"events":[],"de.sorunome.msc2409.ephemeral":[],"device_lists":{}}');
const FULL = Buffer.from('{"events":["and more"]}');

function pushes() {
  let caughtUp = 0;
  const late = new LatePushes({
    localServers: new Set(["a.org" as ServerName]),
    onCaughtUp: () => caughtUp++,
    quietMs: 1,
  });
  const push = (ageMs: number, sender = "@alice:a.org") => {
    const event = matrixEvent.parse(message("$1", { sender, origin_server_ts: Date.now() - ageMs }));
    late.pushed(new Map([[ROOM, { events: [event] }]]), FULL);
  };
  return { late, push, count: () => caughtUp };
}

/** Resolves when what was set before would have been told of: timers of one length fire in their order. */
async function settled(): Promise<void> {
  const control = pushes();
  control.push(LATE_PUSH_MS * 2);
  await eventually(() => control.count() === 1, "the control has caught up");
}

const latePushes = suite("late pushes");

latePushes("are told of once they have been made up for, and again only after some were on time", async () => {
  const { push, count } = pushes();
  push(0);
  await settled();
  assert.is(count(), 0);
  for (let n = 0; n < 3; n++) push(LATE_PUSH_MS * 2);
  await eventually(() => count() === 1, "the homeserver has caught up");
  push(LATE_PUSH_MS * 2);
  await settled();
  assert.is(count(), 1, "a clock that is wrong is told of once");
  push(LATE_PUSH_MS * 4);
  await eventually(() => count() === 2, "but what is much later than it makes all");
  push(0);
  push(LATE_PUSH_MS * 2);
  await eventually(() => count() === 3, "it has caught up again");
});

latePushes("are also those with nothing left in them, and not those of other servers, or of typing", async () => {
  const { late, push, count } = pushes();
  push(LATE_PUSH_MS * 2, "@bob:elsewhere.org");
  late.pushed(new Map(), Buffer.from('{"events":[],"ephemeral":[{"type":"m.typing"}]}'));
  await settled();
  assert.is(count(), 0);
  late.pushed(new Map(), EMPTY);
  await eventually(() => count() === 1, "it has caught up");
});

latePushes.run();
