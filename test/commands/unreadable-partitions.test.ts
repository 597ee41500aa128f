/** Commands beside a partition that can't be read, and with a file that is damaged (docs/operations.md#when-a-partition-has-failed). */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { output, tidemarkCommand } from "../support/commands.ts";
import { type BusHarness, message, pack, startBus, startOn, startTidemark, token } from "../support/harness.ts";

/** By partition, of two. */
const ROOMS = ["!r1:a.org", "!r0:a.org"] as const;

/** Appends what no worker of this version reads to the log of partition 0. Returns the position of its last record before. */
async function breakPartition(bus: BusHarness): Promise<number> {
  const [, newest] = await Promise.all(ROOMS.toReversed().map((room) => bus.sent("event", room, message("$1"))));
  await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOMS[0])}`, pack([99, 1, [[0, message("$2")]]]));
  await bus.sent("event", ROOMS[1], message("$2"));
  return newest![0]!;
}

/** Those that have an order. */
const eventsIn = async (bus: BusHarness, room: string) => {
  const { orders } = await bus.query(room, { op: "orders", event_ids: ["$1", "$2"] });
  return Object.entries(orders).filter(([, order]) => order !== null);
};

const commands = suite("commands beside a partition that can't be read");

commands("fail with what to do, and leave nothing half done", async () => {
  await using tidemark = await startTidemark();
  await breakPartition(tidemark);
  const out = join(tidemark.dir, "all.log");
  for (const args of [
    ["export", "--all", "--out", out],
    ["replay", "--all"],
    ["verify", "--all"],
  ]) {
    const { status, stderr } = await tidemarkCommand([...args, "--nats", tidemark.url]);
    assert.is(status, 1);
    assert.match(stderr, /partition 0: record 3 of the log can't be read: its version is 99/);
    assert.match(stderr, "--skip-unreadable goes on without the rest of that partition");
  }
  assert.not.ok(existsSync(out));
});

commands("work on what is healthy, and say what they leave out", async () => {
  await using tidemark = await startTidemark();
  await breakPartition(tidemark);
  const skip = ["--skip-unreadable", "--nats", tidemark.url];
  const out = join(tidemark.dir, "all.log");
  const exported = await tidemarkCommand(["export", "--all", "--out", out, ...skip]);
  assert.is(exported.status, 0, exported.stderr);
  assert.match(exported.stderr, /partition 0: left out after record 2 \(record 3 of the log can't be read/);
  assert.match(exported.stdout[0]!, "3 records, 3 entries");
  const verified = await tidemarkCommand(["verify", "--all", ...skip]);
  assert.is(verified.status, 0, verified.stderr);
  assert.match(verified.stderr, /partition 0: left out after record 2/);
  assert.match(verified.stdout[0]!, "no difference: 1 rooms, 2 entries folded");
  assert.match((await output(["verify", "--partition", "1", "--nats", tidemark.url]))[0]!, "no difference: 1 rooms");
  assert.is((await tidemarkCommand(["replay", "--all", ...skip])).stdout.length, 3);

  await using other = await startBus();
  await output(["import", out, "--nats", other.url]);
  await using _copy = await startOn(other);
  assert.equal(await eventsIn(other, ROOMS[1]), await eventsIn(tidemark, ROOMS[1]));
  assert.equal((await eventsIn(other, ROOMS[0])).length, 1);
});

commands("can stop before it", async () => {
  await using tidemark = await startTidemark();
  const last = await breakPartition(tidemark);
  const until = ["--until", `${last}`, "--nats", tidemark.url];
  const out = join(tidemark.dir, "0.log");
  assert.match((await output(["export", "--partition", "0", "--out", out, ...until]))[0]!, "1 records, 1 entries");
  assert.is((await output(["replay", ROOMS[0], ...until])).length, 1);
  assert.is((await tidemarkCommand(["export", "--all", "--out", out, ...until])).status, 2);
});

commands("take a log that is gone for one that can't be read, not for an empty one", async () => {
  await using tidemark = await startTidemark();
  for (const room of ROOMS) await tidemark.sent("event", room, message("$1"));
  await tidemark.jsm.streams.delete("TIDEMARK_LOG_0");
  const args = ["export", "--all", "--out", join(tidemark.dir, "all.log"), "--nats", tidemark.url];
  const refused = await tidemarkCommand(args);
  assert.is(refused.status, 1);
  assert.match(refused.stderr, "the log of partition 0 is gone");
  const exported = await tidemarkCommand([...args, "--skip-unreadable"]);
  assert.match(exported.stderr, /partition 0: left out \(the log of partition 0 is gone/);
  assert.match(exported.stdout[0]!, "1 records, 1 entries");
});

commands("import a damaged file up to the damage", async () => {
  await using tidemark = await startTidemark();
  for (const id of ["$1", "$2"]) await tidemark.sent("event", ROOMS[0], message(id));
  const path = join(tidemark.dir, "room.log");
  await output(["export", ROOMS[0], "--out", path, "--nats", tidemark.url]);
  // The header, the beginning of the log, then the events.
  const lines = readFileSync(path, "utf8").split("\n");
  lines[3] = lines[3]!.replace("$2", "$3");
  writeFileSync(path, lines.join("\n"));
  await using other = await startBus();
  const refused = await tidemarkCommand(["import", path, "--nats", other.url]);
  assert.is(refused.status, 1);
  assert.match(refused.stderr, "line 4: its checksum is wrong");
  assert.match(refused.stderr, "--until-line 3 imports what is before");
  assert.match((await output(["import", path, "--until-line", "3", "--nats", other.url]))[0]!, "1 records, 1 entries");
  await using _copy = await startOn(other);
  assert.is((await eventsIn(other, ROOMS[0])).length, 1);
});

commands.run();
