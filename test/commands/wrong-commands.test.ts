/** Wrong usage: exit status and message, without a stack trace. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { ROOM, tidemarkCommand } from "../support/commands.ts";

const commands = suite("commands");

const wrong: Record<string, readonly [args: readonly string[], status: number, message: RegExp]> = {
  "no room": [["replay", "--nats", "nats://127.0.0.1:1"], 2, /name a room, or --all/],
  "an invalid room id": [["replay", "here", "--nats", "nats://127.0.0.1:1"], 2, /must be a room id/],
  "no broker": [["replay", ROOM, "--data", "/nowhere"], 2, /--nats <url> is missing.*no broker of \/nowhere/],
  "a broker that does not run": [["verify", "--all", "--nats", "nats://127.0.0.1:1"], 1, /no connection to/],
  "why without a user": [["replay", ROOM, "--why", "$1"], 2, /--why needs a room, and --user/],
  "following a file": [["replay", ROOM, "--file", "x", "--follow"], 2, /--follow needs a room of a broker/],
  "an unknown outcome": [["replay", ROOM, "--outcome", "lost"], 2, /Allowed choices are ordered/],
  "an invalid point": [["replay", ROOM, "--until", "soon"], 2, /must be a position, or a time/],
  "a file that does not exist": [["replay", "--file", "/nowhere/log"], 1, /ENOENT/],
  "a proxy without a homeserver": [["start", "--roles", "proxy"], 2, /needs --homeserver <url>/],
  "a gateway that has nothing to serve": [["start", "--roles", "gateway"], 2, /needs --homeserver <url> or --users/],
  "a proxy alone without a broker": [
    ["start", "--roles", "proxy", "--homeserver", "http://h"],
    2,
    /needs --nats <url>/,
  ],
  "a proxy that is a gateway": [
    ["start", "--roles", "proxy,gateway", "--homeserver", "http://h"],
    2,
    /a gateway or a proxy: both serve the same paths/,
  ],
  "an export of both a room and all": [
    ["export", ROOM, "--all", "--out", "x"],
    2,
    /name a room, or --partition, or --all/,
  ],
};
for (const [what, [args, status, message]] of Object.entries(wrong)) {
  commands(`refuse ${what}`, async () => {
    const ran = await tidemarkCommand(args);
    assert.is(ran.status, status);
    assert.match(ran.stderr, message);
    assert.not.match(ran.stderr, /\n\s+at /);
  });
}

commands("exit with this status", async () => {
  await using child = runCli(["replay", "here"]);
  assert.is(await child.ended, 2);
});

commands.run();
