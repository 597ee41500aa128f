import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { eventually, message, receipt, startTidemark, type TidemarkHarness } from "../support/harness.ts";
import { playSession, ROOMS } from "../support/recorded.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

interface Ran {
  readonly status: number | string;
  readonly stdout: readonly string[];
  readonly stderr: string;
}

async function tidemarkCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  await using child = runCli(args, env);
  const status = await child.ended;
  return { status, stdout: child.stdout, stderr: child.stderr.join("\n") };
}

/** Output of a command that must succeed. */
async function output(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { status, stdout, stderr } = await tidemarkCommand(args, env);
  assert.is(status, 0, stderr);
  assert.is(stderr, "");
  return stdout;
}

const ROOM = "!a:a.org";
const BOB = "@bob:a.org";

/** Positions 1024 to 5120, an entry a record. */
async function story(tidemark: TidemarkHarness): Promise<void> {
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$3", { thread_id: "main" }));
  await tidemark.sent("event", ROOM, message("$2"));
  await tidemark.sent("event", ROOM, message("$3"));
}

const withoutTime = (line: string) => line.slice("1970-01-01 00:00:00.000  ".length);

const commands = suite("commands");

commands("replay a room: lines, JSON, filters, a part, the state, the reason", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const nats = ["--nats", tidemark.url];
  const lines = await output(["replay", ROOM, ...nats]);
  assert.equal(lines.map(withoutTime), [
    "1024  ordered    @alice:a.org  m.room.message $1  order 1024",
    "2048  advanced   @bob:a.org  m.read $1  marker none → 1024",
    "3072  held       @bob:a.org  m.read $3 in main  its event is not in the log yet",
    "4096  ordered    @alice:a.org  m.room.message $2  order 4096",
    "5120  ordered    @alice:a.org  m.room.message $3  order 5120  released @bob:a.org m.read in main of 3072: marker none → 5120",
  ]);

  const json = (await output(["replay", ROOM, "--json", ...nats])).map((line) => JSON.parse(line));
  assert.equal(
    json.map(({ room, position, outcome }) => [room, position, outcome]),
    [
      [ROOM, 1024, "ordered"],
      [ROOM, 2048, "advanced"],
      [ROOM, 3072, "held"],
      [ROOM, 4096, "ordered"],
      [ROOM, 5120, "ordered"],
    ],
  );
  assert.equal(json[4].settled[0].to, { event: "$3", order: 5120 });

  const shown = async (...args: string[]) =>
    (await output(["replay", ROOM, ...args], { TIDEMARK_NATS: tidemark.url })).map((line) =>
      Number(withoutTime(line).split(" ")[0]),
    );
  assert.equal(await shown("--user", "@bob"), [2048, 3072, 5120]);
  assert.equal(await shown("--event", "$3", "--outcome", "released"), [5120]);
  assert.equal(await shown("--from", "2048", "--until", "4096"), [2048, 3072, 4096]);
  assert.equal(await shown("--from", new Date(json[3].at).toISOString(), "--thread", "main"), [4096, 5120]);
  assert.equal(await shown("--until", new Date(json[0].at - 1).toISOString()), []);

  const state = JSON.parse((await output(["replay", ROOM, "--state", "--until", "4096", "--json", ...nats]))[0]!);
  assert.is(state.events, 2);
  assert.is(state.held.length, 1);
  assert.equal(state.unread, [{ user: BOB, total: 1, main: 1, threads: {} }]);
  const text = (await output(["replay", ROOM, "--state", ...nats])).join("\n");
  assert.match(text, "!a:a.org at position 5120: 3 events");
  assert.match(text, "  @bob:a.org  m.read in main  $3  order 5120");

  const why = await output(["replay", ROOM, "--why", "$2", "--user", "@bob", "--until", "4096", ...nats]);
  assert.equal(why.slice(0, 3), [
    "Unread: no marker of @bob:a.org that covers the main timeline has reached its order 4096 (F12).",
    "  The unthreaded m.read marker stands at $1, order 1024 < 4096.",
    "  The m.read receipt at position 3072 on $3 is held: the log has no event $3 (F4).",
  ]);
  const later = await output(["replay", ROOM, "--why", "$2", "--user", BOB, ...nats]);
  assert.match(later[0]!, "Read: the m.read marker of the main timeline came to $3, order 5120 at position 5120");
});

commands("colour outcomes where colours are wanted", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const coloured = await output(["replay", ROOM, "--nats", tidemark.url], { FORCE_COLOR: "1", NO_COLOR: "" });
  assert.ok(coloured[1]!.includes("\u001b[32madvanced"));
  const plain = await output(["replay", ROOM, "--nats", tidemark.url], { NO_COLOR: "1", FORCE_COLOR: "" });
  assert.not.ok(plain.join("").includes("\u001b"));
});

commands("follow a room until they are told to stop", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  await using child = runCli(["replay", ROOM, "--follow", "--nats", tidemark.url]);
  await eventually(() => child.stdout.length === 5, "what there was");
  await tidemark.sent("event", ROOM, message("$4"));
  await tidemark.sent("event", "!other:a.org", message("$5"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$4"));
  await eventually(() => child.stdout.length === 7, "what came");
  assert.match(child.stdout[6]!, "advanced   @bob:a.org  m.read $4  marker 1024 → 6144");
  child.kill("SIGINT");
  assert.is(await child.ended, 0);
});

commands("replay a file without a broker, and tell what a damaged one has", async () => {
  using dir = temporaryDirectory();
  const path = join(dir.path, "log.gz");
  await using tidemark = await startTidemark();
  await playSession(tidemark);
  const nats = ["--nats", tidemark.url];
  assert.equal(await output(["export", "--all", "--out", path, ...nats]), [
    `${path}: ${(await tidemark.lastSequences()).reduce((a, b) => a + b)} records, 3951 entries`,
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

commands("verify: 0 when all agrees, 1 and the first difference when not", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const right = await output(["verify", "--all", "--nats", tidemark.url]);
  assert.match(right[0]!, /^no difference: 1 rooms, 5 entries folded; 3 orders and 2 markers equal/);
  await tidemark.jsm.streams.purge("TIDEMARK_DELTAS_0");
  const wrong = await tidemarkCommand(["verify", ROOM, "--wait", "100", "--nats", tidemark.url]);
  assert.is(wrong.status, 1);
  assert.is(wrong.stderr, "tidemark: !a:a.org: events changed at position 5120, and are published through 0");
});

commands("tell how far every partition is", async () => {
  await using tidemark = await startTidemark();
  await story(tidemark);
  const partition = tidemark.partitionOf(ROOM);
  const status = async () =>
    (await output(["status", "--json", "--nats", tidemark.url])).map((line) => JSON.parse(line));
  const here = (await status())[partition];
  assert.equal([here.records, here.last, here.folded], [5, 5, 5]);
  assert.equal((await status())[1 - partition], {
    partition: 1 - partition,
    records: 0,
    last: 0,
    at: null,
    folded: null,
    published: 0,
  });
  await tidemark.stop();
  assert.is((await status())[partition].folded, null);
  const table = await output(["status", "--nats", tidemark.url]);
  assert.match(table[0]!, /^partition {2}records {2}last sequence {2}last append \(UTC\) +folded +published through$/);
  assert.match(table[partition + 1]!, "nobody answers");
});

const wrong: Record<string, readonly [args: readonly string[], status: number, said: RegExp]> = {
  "no room": [["replay", "--nats", "nats://127.0.0.1:1"], 2, /name a room, or --all/],
  "a room that is none": [["replay", "here", "--nats", "nats://127.0.0.1:1"], 2, /must be a room id/],
  "no broker": [["replay", ROOM], 2, /--nats <url> is missing/],
  "a broker that isn't there": [["verify", "--all", "--nats", "nats://127.0.0.1:1"], 1, /no connection to/],
  "why without a user": [["replay", ROOM, "--why", "$1"], 2, /--why needs a room, and --user/],
  "following a file": [["replay", ROOM, "--file", "x", "--follow"], 2, /--follow goes with a room of a broker/],
  "an outcome that is none": [["replay", ROOM, "--outcome", "lost"], 2, /Allowed choices are ordered/],
  "a point that is none": [["replay", ROOM, "--until", "soon"], 2, /must be a position, or a time/],
  "a file that isn't there": [["replay", "--file", "/nowhere/log"], 1, /ENOENT/],
  "an export of too much at once": [
    ["export", ROOM, "--all", "--out", "x"],
    2,
    /name a room, or --partition, or --all/,
  ],
};
for (const [what, [args, status, said]] of Object.entries(wrong)) {
  commands(`refuse ${what}`, async () => {
    const ran = await tidemarkCommand(args);
    assert.is(ran.status, status);
    assert.match(ran.stderr, said);
    assert.not.match(ran.stderr, /\n\s+at /);
  });
}

commands("say when the log has no such room, event or user", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const said = async (...args: string[]) => (await tidemarkCommand(["replay", ...args, "--nats", tidemark.url])).stderr;
  assert.is(await said("!b:a.org"), "tidemark: the log has no room !b:a.org");
  assert.is(await said(ROOM, "--why", "$x", "--user", BOB), "tidemark: the log has no event $x, and no receipt on it");
  assert.match(await said(ROOM, "--why", "$", "--user", BOB), "several events begin with $: $1, $2, $3");
});

commands.run();
