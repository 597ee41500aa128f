/** I21: what comes from outside is shown, and never obeyed by a terminal, whatever the command. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { visibleJson, visibleLine, visibleLines } from "../../src/commands/visible-text.ts";
import { runCli } from "../support/cli-process.ts";
import { type Ran, tidemarkCommand } from "../support/commands.ts";
import { eventually, message, receipt, startBus, startTidemark } from "../support/harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ESC = "\u{1b}";
/** Sets the title, clears the screen with the one-byte form, deletes, and turns the rest of the line around. */
const EVIL = `${ESC}]0;title\u{7}\u{9b}2J\u{7f}\u{202e}\u{2066}x\r\n\t`;
const SHOWN = "\\u{1b}]0;title\\u{7}\\u{9b}2J\\u{7f}\\u{202e}\\u{2066}x\\u{d}\\u{a}\\u{9}";
/** Ids may have controls of the direction of writing. */
const ROOM = "!room\u{202e}:a.org";
const USER = "@user\u{2067}:a.org";
const FIRST = "$first\u{202d}";
const SECOND = "$second\u{2069}";

const OBEYED = /[^\P{Cc}\n]|\p{Bidi_Control}/u;
const COLOURS = new RegExp(`${ESC}\\[\\d+m`, "g");

function isShown({ stdout, stderr }: Pick<Ran, "stdout" | "stderr">, what: string): void {
  for (const line of [...stdout, stderr]) assert.not.match(line, OBEYED, `${what}: ${JSON.stringify(line)}`);
}

const text = suite("text from outside (I21)");

text("is shown with escapes in place of control characters", () => {
  assert.is(visibleLine(`a${EVIL}b`), `a${SHOWN}b`);
  assert.is(visibleLine("é 日本 👩‍👩‍👧 ~"), "é 日本 👩‍👩‍👧 ~");
  assert.is(visibleLines(`a\n${ESC}`), "a\n\\u{1b}");
  const line = visibleJson(`${JSON.stringify({ type: EVIL })}\n`);
  assert.not.match(line, OBEYED);
  assert.equal(JSON.parse(line), { type: EVIL });
  for (let code = 0; code < 0xffff; code++) {
    const char = String.fromCharCode(code);
    assert.not.match(visibleLine(char), /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
    assert.is(JSON.parse(visibleJson(JSON.stringify(char))), char);
  }
});

text("is written by one file of the commands alone", async () => {
  const folder = join(import.meta.dirname, "../../src/commands");
  const writers: string[] = [];
  for (const name of await readdir(folder)) {
    const source = await readFile(join(folder, name), "utf8");
    if (/std(out|err)\.write|console\./.test(source)) writers.push(name);
  }
  assert.equal(writers, ["options.ts", "output.ts"], "options.ts has the logger");
});

text("is obeyed by no terminal in what the commands show of a room", async () => {
  using dir = temporaryDirectory();
  await using tidemark = await startTidemark({ partitions: 1 });
  const relates = { rel_type: "m.thread", event_id: FIRST };
  const evil = (id: string, more: Record<string, unknown> = {}) => message(id, { type: EVIL, sender: USER, ...more });
  await tidemark.sent("event", ROOM, [
    evil(FIRST),
    evil(SECOND, { content: { body: EVIL, membership: EVIL, "m.relates_to": relates } }),
    evil("$state", { state_key: EVIL }),
    evil("$member", { type: "m.room.member", state_key: USER, content: { membership: EVIL } }),
    evil("$redaction", { type: "m.room.redaction", redacts: SECOND, content: { reason: EVIL } }),
  ]);
  await tidemark.sent("receipt", ROOM, [
    receipt(USER, FIRST),
    receipt(USER, SECOND, { thread_id: FIRST }),
    receipt(USER, FIRST, { thread_id: SECOND }),
    receipt(USER, "$unknown\u{202c}"),
    receipt("@other:a.org", FIRST),
  ]);
  const nats = ["--nats", tidemark.url];
  const path = join(dir.path, "log");
  await eventually(async () => (await tidemarkCommand(["verify", "--all", ...nats])).status === 0, "all is published");
  const shown: Record<string, readonly string[]> = {
    replay: ["replay", ROOM],
    "replay of all": ["replay", "--all"],
    state: ["replay", ROOM, "--state"],
    "why it is read": ["replay", ROOM, "--why", FIRST, "--user", USER],
    "why it is unread": ["replay", ROOM, "--why", SECOND, "--user", "@other:a.org"],
    "why of an unknown user": ["replay", ROOM, "--why", FIRST, "--user", `@${EVIL}`],
    "why of an unknown event": ["replay", ROOM, "--why", `$${EVIL}`, "--user", USER],
    status: ["status"],
    verify: ["verify", ROOM],
    export: ["export", ROOM, "--out", path],
    "replay of an unknown room": ["replay", `!none${ROOM}`],
    "export into no folder": ["export", ROOM, "--out", join(dir.path, EVIL, "log")],
  };
  for (const [what, args] of Object.entries(shown)) {
    for (const FORCE_COLOR of ["0", "1"]) {
      const ran = await tidemarkCommand([...args, ...nats], { FORCE_COLOR });
      isShown({ stdout: ran.stdout.map((line) => line.replace(COLOURS, "")), stderr: ran.stderr }, what);
      if (what !== "replay") continue;
      assert.is(ran.stdout.length, 10, "one line an entry");
      assert.ok(ran.stdout[0]!.replace(COLOURS, "").includes(SHOWN));
      assert.is(COLOURS.test(ran.stdout[0]!), FORCE_COLOR === "1");
    }
  }
  for (const args of [
    ["replay", ROOM],
    ["replay", ROOM, "--state"],
    ["replay", ROOM, "--why", FIRST, "--user", USER],
  ]) {
    const ran = await tidemarkCommand([...args, "--json", ...nats]);
    isShown(ran, args.join(" "));
    assert.ok(ran.stdout.length > 0);
    for (const line of ran.stdout) assert.is(JSON.parse(line).room, ROOM);
  }
  isShown(await tidemarkCommand(["status", "--json", ...nats]), "status --json");

  await using empty = await startBus();
  isShown(await tidemarkCommand(["import", path, "--nats", empty.url]), "import");
  const lines = (await readFile(path, "utf8")).split("\n");
  for (const broken of [`${EVIL}${lines[0]}`, `{"${EVIL}`, lines.slice(0, 2).join(`\n${EVIL}`)]) {
    await writeFile(path, broken);
    for (const args of [
      ["replay", "--file", path],
      ["import", path, "--nats", empty.url],
    ]) {
      const ran = await tidemarkCommand(args);
      assert.is(ran.status, 1);
      isShown(ran, args[0]!);
    }
  }
});

text("is obeyed by no terminal in what is wrong with a command", async () => {
  const everywhere = ["--nats", `nats://${EVIL}`];
  const wrong: Record<string, readonly string[]> = {
    "the command": [EVIL],
    "an option": ["status", `--${EVIL}`],
    "a room": ["replay", EVIL],
    "a point": ["replay", ROOM, "--until", EVIL],
    "an outcome": ["replay", ROOM, "--outcome", EVIL],
    "a broker": ["status", ...everywhere],
    "a file": ["replay", "--file", EVIL],
    "an import": ["import", EVIL, ...everywhere],
    "an export": ["export", "--all", "--out", EVIL, ...everywhere],
    "a check": ["verify", "--all", ...everywhere],
    "a server name": ["registration", "--url", "http://a.org", "--server-name", EVIL],
    "an id": ["registration", "--url", "http://a.org", "--server-name", "a.org", "--id", EVIL],
    "a registration": ["start", "--registration", EVIL, "--server-name", "a.org"],
    "an address": ["start", "--http", EVIL],
    "a token": ["import-room", ROOM, "--token", EVIL, "--homeserver", "http://127.0.0.1:1", ...everywhere],
  };
  for (const [what, args] of Object.entries(wrong)) {
    const ran = await tidemarkCommand(args);
    assert.ok(ran.status > 0 || what === "an id", what);
    isShown(ran, what);
  }
});

text("is obeyed by no terminal in what a homeserver answers, and in log lines", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  const homeserver = createServer((_, response) => {
    response.writeHead(403, { "content-type": "application/json" });
    response.end(JSON.stringify({ errcode: `M_FORBIDDEN${EVIL}`, error: EVIL }));
  });
  await new Promise<void>((resolve) => homeserver.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(homeserver.address() as AddressInfo).port}`;
  const ran = await tidemarkCommand([
    ...["import-room", ROOM, "--nats", tidemark.url],
    ...["--homeserver", url, "--token", "secret"],
  ]);
  homeserver.close();
  assert.is(ran.status, 1);
  isShown(ran, "import-room");

  using dir = temporaryDirectory();
  await using process = runCli(["start", "--data", join(dir.path, `d\u{9b}${ESC}`), "--nats", tidemark.url]);
  await process.ready.catch(() => {});
  process.kill("SIGTERM");
  await process.ended;
  assert.ok(process.stderr.length > 0);
  isShown({ stdout: process.stdout, stderr: process.stderr.join("\n") }, "start");
});

text.run();
