/** Recovery from kills at any time, with frequent, rare, or few active rooms. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli, startArgs } from "../support/cli-process.ts";
import { eventually, sequenceOf, startBus } from "../support/harness.ts";
import { assertMatchesLog, load } from "../support/load.ts";
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
      await using tidemark = runCli(startArgs(bus, "--partitions", "2", ...options));
      await tidemark.ready;
      if (kill === 0) senders.start(8);
      const enough = senders.count + 50 + Math.floor(next() * 300);
      await eventually(() => senders.count > enough, "enough load");
      tidemark.kill("SIGKILL");
      assert.is(await tidemark.ended, "SIGKILL");
    }
    await using tidemark = runCli(startArgs(bus, "--partitions", "2", ...options));
    await tidemark.ready;
    await senders.stop();

    const last = await bus.lastSequences();
    for (const position of senders.acknowledged) assert.ok(sequenceOf(position) <= Math.max(...last));
    await assertMatchesLog(bus, { partitions: 2, deltas, users: USERS });
    tidemark.kill("SIGTERM");
    assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));

    await using again = runCli(startArgs(bus, "--partitions", "2", ...options));
    await again.ready;
    await assertMatchesLog(bus, { partitions: 2, deltas, users: USERS });
  });
}

recovery.run();
