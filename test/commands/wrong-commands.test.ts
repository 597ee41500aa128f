import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { ROOM, tidemarkCommand } from "../support/commands.ts";

const commands = suite("commands");

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

commands("end their process with that status", async () => {
  await using child = runCli(["replay", "here"]);
  assert.is(await child.ended, 2);
});

commands.run();
