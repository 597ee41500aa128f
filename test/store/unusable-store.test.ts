/** A store that can't be used: it is of another log, or its disk is full. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCliWithoutSpace, startArgs } from "../support/cli-process.ts";
import { tidemarkCommand } from "../support/commands.ts";
import { type BusHarness, message, startBus, startOn } from "../support/harness.ts";
import { assertMatchesLog, sendUntilAccepted } from "../support/load.ts";

const ROOMS = Array.from({ length: 6 }, (_, i) => `!r${i}:a.org`);

const unusable = suite("unusable store");

// E16
unusable("a store of another log stops the start, and the error says what to do", async () => {
  await using first = await startBus();
  const data = join(first.dir, "data");
  const fill = async (bus: BusHarness, dir: string, events: number) => {
    const tidemark = await startOn({ ...bus, dir });
    for (let i = 0; i < events; i++) await bus.sent("event", ROOMS[0]!, message(`$${i}`));
    await tidemark.stop();
  };
  await fill(first, data, 5);
  for (const [events, says] of [
    // Of its partitions, one has nothing but its beginning, which is another as well.
    [0, /is ahead of its log|is of another log/],
    [9, /is of another log/],
  ] as const) {
    await using second = await startBus();
    await fill(second, join(second.dir, "own"), events);
    const { status, stderr } = await tidemarkCommand(["start", "--nats", second.url, "--data", data]);
    assert.is(status, 1);
    assert.match(stderr, says);
    assert.match(stderr, /Connect the right broker; or, if the log is right, delete .*state/);
    assert.not.match(stderr, /^\s+at /m);
  }
});

// E17
unusable("a full disk stops a partition with the reason, and loses nothing", async () => {
  await using bus = await startBus();
  const deltas = bus.subscribe("tidemark.client.>");
  {
    await using full = runCliWithoutSpace(256, startArgs(bus, "--partitions", "2", "--checkpoint-ms", "20"));
    await full.ready;
    const says = /the checkpoint in .* failed: .*see to disk and space, and start again/;
    for (let i = 0; !full.stderr.some((line) => says.test(line)); i += 50) {
      const events = Array.from({ length: 50 }, (_, j) => message(`$${i + j}`));
      await sendUntilAccepted(bus, "event", ROOMS[i % ROOMS.length]!, events);
    }
    const events = await bus.send("event", ROOMS[0]!, message("$while-failed"));
    assert.is(events.ok, true, "the log still accepts events");
  }
  const again = await startOn({ ...bus, dir: join(bus.dir, "data") });
  await assertMatchesLog(bus, { partitions: 2, deltas, users: ["@u0:a.org"] });
  await again.stop();
});

unusable.run();
