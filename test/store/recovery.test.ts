/** Recovery from kills at any time, with frequent, rare, or few active rooms. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli, runCliWithoutSpace, startArgs } from "../support/cli-process.ts";
import { tidemarkCommand } from "../support/commands.ts";
import { type BusHarness, eventually, message, sequenceOf, startBus, startOn } from "../support/harness.ts";
import { assertMatchesLog, load, sendUntilAccepted } from "../support/load.ts";
import { random } from "../support/random.ts";
import { cases, SEED } from "../support/tier.ts";

const KILLS = cases(1);
const ROOMS = Array.from({ length: 6 }, (_, i) => `!r${i}:a.org`);
const USERS = Array.from({ length: 5 }, (_, i) => `@u${i}:a.org`);

const recovery = suite("recovery");

// E1, E5: the killed process is worker and ingress.
for (const [cadence, ...options] of [
  ["checkpoints all the time and one active room", "--checkpoint-ms", "1", "--active-rooms", "1", "--idle-ms", "5"],
  ["checkpoints now and then", "--checkpoint-ms", "60"],
  ["checkpoints by entries alone", "--checkpoint-ms", "3600000", "--checkpoint-entries", "40", "--active-rooms", "4"],
  ["no checkpoint before the drain", "--checkpoint-ms", "3600000"],
] as const) {
  recovery(`a kill at any time loses and changes nothing, with ${cadence}`, async () => {
    const next = random(SEED);
    await using bus = await startBus();
    const deltas = bus.subscribe("tidemark.client.>");
    const senders = load(bus, ROOMS, next);
    for (let kill = 0; kill < KILLS; kill++) {
      await using tidemark = runCli(startArgs(bus, ...options));
      await tidemark.ready;
      if (kill === 0) senders.start(8);
      const enough = senders.count + 50 + Math.floor(next() * 300);
      await eventually(() => senders.count > enough, "enough load");
      tidemark.kill("SIGKILL");
      assert.is(await tidemark.ended, "SIGKILL");
    }
    await using tidemark = runCli(startArgs(bus, ...options));
    await tidemark.ready;
    await senders.stop();

    const last = await bus.lastSequences();
    for (const position of senders.acknowledged) assert.ok(sequenceOf(position) <= Math.max(...last));
    await assertMatchesLog(bus, { partitions: 2, deltas, users: USERS });
    tidemark.kill("SIGTERM");
    assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));

    await using again = runCli(startArgs(bus, ...options));
    await again.ready;
    await assertMatchesLog(bus, { partitions: 2, deltas, users: USERS });
  });
}

// E16
recovery("a store of another log stops the start, and the error says what to do", async () => {
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
recovery("a full disk stops a partition with the reason, and loses nothing", async () => {
  await using bus = await startBus();
  const deltas = bus.subscribe("tidemark.client.>");
  {
    await using full = runCliWithoutSpace(256, startArgs(bus, "--checkpoint-ms", "20"));
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
  await assertMatchesLog(bus, { partitions: 2, deltas, users: USERS });
  await again.stop();
});

recovery.run();
