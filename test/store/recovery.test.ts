/** Recovery from kills at any time, with frequent, rare, or few active rooms. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli, runCliWithoutSpace } from "../support/cli-process.ts";
import { type BusHarness, eventually, message, sequenceOf, startBus } from "../support/harness.ts";
import { assertIsItsLog, load, sentAtLast } from "../support/load.ts";
import { random } from "../support/random.ts";
import { SEED } from "../support/tier.ts";

const KILLS = 3;
const ROOMS = Array.from({ length: 6 }, (_, i) => `!r${i}:a.org`);
const USERS = Array.from({ length: 5 }, (_, i) => `@u${i}:a.org`);

function startArgs(bus: BusHarness, ...more: string[]): string[] {
  return ["start", "--nats", bus.url, "--data", join(bus.dir, "data"), "--partitions", "2", ...more];
}

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
    await assertIsItsLog(bus, { partitions: 2, deltas, users: USERS });
    tidemark.kill("SIGTERM");
    assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));

    await using again = runCli(startArgs(bus, ...options));
    await again.ready;
    await assertIsItsLog(bus, { partitions: 2, deltas, users: USERS });
  });
}

// E16
recovery("a store of another log stops the start, and the error says what to do", async () => {
  await using first = await startBus();
  {
    await using tidemark = runCli(startArgs(first));
    await tidemark.ready;
    for (let i = 0; i < 5; i++) await sentAtLast(first, "event", ROOMS[0]!, message(`$${i}`));
    tidemark.kill("SIGTERM");
    assert.is(await tidemark.ended, 0);
  }
  for (const [events, says] of [
    [0, /is ahead of its log/],
    [9, /is of another log/],
  ] as const) {
    await using second = await startBus();
    {
      await using filler = runCli(startArgs(second));
      await filler.ready;
      for (let i = 0; i < events; i++) await sentAtLast(second, "event", ROOMS[0]!, message(`$${i}`));
      filler.kill("SIGTERM");
      await filler.ended;
    }
    await using stopped = runCli(["start", "--nats", second.url, "--data", join(first.dir, "data")]);
    assert.is(await stopped.ended, 1);
    const output = stopped.stderr.join("\n");
    assert.match(output, says);
    assert.match(output, /Connect the right broker; or, if the log is right, delete .*state/);
    assert.not.match(output, /^\s+at /m);
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
      await sentAtLast(bus, "event", ROOMS[i % ROOMS.length]!, events);
    }
    const events = await bus.send("event", ROOMS[0]!, message("$while-failed"));
    assert.is(events.ok, true, "the log still accepts events");
  }
  await using again = runCli(startArgs(bus));
  await again.ready;
  await assertIsItsLog(bus, { partitions: 2, deltas, users: USERS });
});

recovery.run();
