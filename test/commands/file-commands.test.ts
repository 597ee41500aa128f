/** Commands that work with exported files, and `verify` and `status`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { output, ROOM, story, tidemarkCommand } from "../support/commands.ts";
import { startTidemark } from "../support/harness.ts";
import { playSession, ROOMS } from "../support/recorded.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const commands = suite("commands");

commands("replay a file without a broker, and report damage in it", async () => {
  using dir = temporaryDirectory();
  const path = join(dir.path, "log.gz");
  await using tidemark = await startTidemark();
  await playSession(tidemark);
  const nats = ["--nats", tidemark.url];
  // Each log begins with a record of its own.
  const records = (await tidemark.lastSequences()).reduce((sum, last) => sum + last - 1, 0);
  assert.equal(await output(["export", "--all", "--out", path, ...nats]), [
    `${path}: ${records} records, 3951 entries`,
  ]);
  const room = ROOMS[0];
  assert.equal(await output(["replay", room, "--file", path]), await output(["replay", room, ...nats]));
  assert.is((await output(["replay", "--file", path])).length, 3_951);

  const plain = join(dir.path, "room.log");
  await output(["export", room, "--out", plain, "--redact", ...nats]);
  assert.not.match(readFileSync(plain, "utf8"), '"body"');
  const steps = (lines: readonly string[]) => lines.map((line) => line.replace(/ \(.*?\)/, ""));
  assert.equal(steps(await output(["replay", room, "--file", plain])), steps(await output(["replay", room, ...nats])));

  const lines = readFileSync(plain, "utf8").split("\n");
  lines[7] = lines[7]!.replace('"at":1', '"at":2');
  writeFileSync(plain, lines.join("\n"));
  const { status, stderr } = await tidemarkCommand(["replay", room, "--file", plain]);
  assert.is(status, 1);
  assert.is(
    stderr,
    `tidemark: ${plain}, line 8: its checksum is wrong: it was changed, or lines are missing before it`,
  );
});

commands("verify exits with 0 without a difference, and with 1 and the first difference otherwise", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const right = await output(["verify", "--all", "--nats", tidemark.url]);
  assert.match(right[0]!, /^no difference: 1 rooms, 5 entries folded; 3 orders and 2 markers equal/);
  await tidemark.jsm.streams.purge("TIDEMARK_DELTAS_0", { filter: "tidemark.client.*.*.receipts" });
  const wrong = await tidemarkCommand(["verify", ROOM, "--wait", "100", "--nats", tidemark.url]);
  assert.is(wrong.status, 1);
  assert.match(wrong.stderr, /^tidemark: !a:a\.org: receipts changed at position \d+, and are published through 0$/);
});

commands("status shows how far every partition is", async () => {
  await using tidemark = await startTidemark();
  await story(tidemark);
  const partition = tidemark.partitionOf(ROOM);
  const status = async () =>
    (await output(["status", "--json", "--nats", tidemark.url])).map((line) => JSON.parse(line));
  const here = (await status())[partition];
  assert.equal([here.records, here.last, here.folded], [6, 6, 6]);
  const { owner, at, folded, lag, published, ...other } = (await status())[1 - partition];
  assert.type(at, "number");
  // What its owner said with its last heartbeat.
  assert.is(lag, 1 - folded);
  assert.ok(published < 2048);
  assert.equal(other, {
    partition: 1 - partition,
    records: 1,
    last: 1,
    standbys: [],
    failed: [],
    fault: null,
  });
  assert.is(owner, here.owner);
  await tidemark.stop();
  const stopped = await tidemarkCommand(["status", "--json", "--nats", tidemark.url]);
  assert.is(JSON.parse(stopped.stdout[partition]!).folded, null);
  const { status: exit, stdout: table } = await tidemarkCommand(["status", "--nats", tidemark.url]);
  assert.equal([stopped.status, exit], [1, 1], "nobody serves");
  assert.match(
    table[0]!,
    /^partition {2}records {2}last sequence {2}last append \(UTC\) +folded +lag +published through +owner +standbys$/,
  );
  assert.match(table[partition + 1]!, "no answer");
});

commands.run();
