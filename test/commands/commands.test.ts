/** `tidemark replay` on a broker. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { BOB, output, ROOM, story, tidemarkCommand } from "../support/commands.ts";
import { BASE, eventually, message, receipt, startTidemark } from "../support/harness.ts";

const withoutTime = (line: string) => line.slice("1970-01-01 00:00:00.000  ".length);

const replay = suite("replay");

replay("shows a room as lines, as JSON, filtered, in part, its state, and why an event is unread", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const nats = ["--nats", tidemark.url];
  const lines = await output(["replay", ROOM, ...nats]);
  assert.equal(lines.map(withoutTime), [
    `2048  ordered    @alice:a.org  m.room.message $1  order ${BASE + 1}`,
    `3072  advanced   @bob:a.org  m.read $1  marker none → ${BASE + 1}`,
    "4096  held       @bob:a.org  m.read $3 in main  its event is not in the log yet",
    `5120  ordered    @alice:a.org  m.room.message $2  order ${BASE + 2}`,
    `6144  ordered    @alice:a.org  m.room.message $3  order ${BASE + 3}  released @bob:a.org m.read in main of 4096: marker none → ${BASE + 3}`,
  ]);

  const json = (await output(["replay", ROOM, "--json", ...nats])).map((line) => JSON.parse(line));
  assert.equal(
    json.map(({ room, position, outcome }) => [room, position, outcome]),
    [
      [ROOM, 2048, "ordered"],
      [ROOM, 3072, "advanced"],
      [ROOM, 4096, "held"],
      [ROOM, 5120, "ordered"],
      [ROOM, 6144, "ordered"],
    ],
  );
  assert.equal(json[4].judged[0].to, { event: "$3", order: BASE + 3 });

  const shown = async (...args: string[]) =>
    (await output(["replay", ROOM, ...args], { TIDEMARK_NATS: tidemark.url })).map((line) =>
      Number(withoutTime(line).split(" ")[0]),
    );
  assert.equal(await shown("--user", "@bob"), [3072, 4096, 6144]);
  assert.equal(await shown("--from", "3072", "--until", "5120"), [3072, 4096, 5120]);
  assert.equal(await shown("--from", new Date(json[3].at).toISOString(), "--thread", "main"), [5120, 6144]);

  const state = JSON.parse((await output(["replay", ROOM, "--state", "--until", "5120", "--json", ...nats]))[0]!);
  assert.is(state.events, 2);
  assert.is(state.held.length, 1);
  assert.equal(state.unread, [{ user: BOB, total: 1, main: 1, threads: {}, oldest: "$2" }]);
  const text = (await output(["replay", ROOM, "--state", ...nats])).join("\n");
  assert.match(text, "!a:a.org at position 6144: 3 events");
  assert.match(text, `  @bob:a.org  m.read in main  $3  order ${BASE + 3}`);

  const why = await output(["replay", ROOM, "--why", "$2", "--user", "@bob", "--until", "5120", ...nats]);
  assert.equal(why.slice(0, 3), [
    `Unread: no marker of @bob:a.org that covers the main timeline has reached its order ${BASE + 2} (F12).`,
    `  The unthreaded m.read marker is at $1, order ${BASE + 1} < ${BASE + 2}.`,
    "  The m.read receipt at position 4096 on $3 is held: the log has no event $3 (F4).",
  ]);
  const later = await output(["replay", ROOM, "--why", "$2", "--user", BOB, ...nats]);
  assert.match(
    later[0]!,
    `Read: the m.read marker of the main timeline reached $3, order ${BASE + 3} at position 6144`,
  );
  for (const until of ["3072", new Date(json[1].at).toISOString()]) {
    assert.equal(await output(["replay", ROOM, "--why", "$2", "--user", "@bob…", "--until", until, ...nats]), [
      "Neither read nor unread: the log has no such event at this point.",
      "  It comes at position 5120, after this point.",
    ]);
  }
  const shortened = await output(["replay", ROOM, "--why", "$1", "--user", "@bob…", ...nats]);
  assert.match(shortened[0]!, "Read: the unthreaded m.read marker reached it");
});

replay("colours outcomes if FORCE_COLOR is set, and not if NO_COLOR is", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const coloured = await output(["replay", ROOM, "--nats", tidemark.url], { FORCE_COLOR: "1", NO_COLOR: "" });
  assert.ok(coloured[1]!.includes("\u001b[32madvanced"));
  const plain = await output(["replay", ROOM, "--nats", tidemark.url], { NO_COLOR: "1", FORCE_COLOR: "" });
  assert.not.ok(plain.join("").includes("\u001b"));
});

replay("follows a room until it gets a signal", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  await using child = runCli(["replay", ROOM, "--follow", "--nats", tidemark.url]);
  await eventually(() => child.stdout.length === 5, "the entries before");
  await tidemark.sent("event", ROOM, message("$4"));
  await tidemark.sent("event", "!other:a.org", message("$5"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$4"));
  await eventually(() => child.stdout.length === 7, "the new entries");
  assert.match(child.stdout[6]!, `advanced   @bob:a.org  m.read $4  marker ${BASE + 1} → ${BASE + 4}`);
  child.kill("SIGINT");
  assert.is(await child.ended, 0);
});

replay("reports a room, event or user that the log does not have", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await story(tidemark);
  const errorOf = async (...args: string[]) =>
    (await tidemarkCommand(["replay", ...args, "--nats", tidemark.url])).stderr;
  assert.is(await errorOf("!b:a.org"), "tidemark: the log has no room !b:a.org");
  assert.is(
    await errorOf(ROOM, "--why", "$x", "--user", BOB),
    "tidemark: the log has no event $x, and no receipt on it",
  );
  assert.match(await errorOf(ROOM, "--why", "$", "--user", BOB), "several events begin with $: $1, $2, $3");
  assert.is(
    await errorOf(ROOM, "--why", "$1", "--user", "@grace"),
    "tidemark: the room has nobody whose id begins with @grace",
  );
});

replay.run();
