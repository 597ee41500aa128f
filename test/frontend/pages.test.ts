/** Runs the code blocks of the libraries' pages unchanged, except for the broker's address. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { member, read, message as sentHere, startFederation } from "../support/federation.ts";
import { eventually, message, receipt, startTidemark } from "../support/harness.ts";
import { frontendFolder } from "../support/packages.ts";
import { codeBlocks, type Program, startProgram } from "../support/samples.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOM = "!a:example.org";
const ME = "@me:example.org";
const ADDRESS = "nats://127.0.0.1:4222";

const directory = temporaryDirectory();
process.once("exit", () => directory[Symbol.dispose]());
const folder = await frontendFolder(directory.path);
const blocks = await codeBlocks("docs/frontend.md", "js", "ts");

async function start(code: string, url: string): Promise<Program> {
  await writeFile(join(folder, "sample.mjs"), code.replaceAll(ADDRESS, url));
  return startProgram(["sample.mjs"], folder);
}

/** Runs a block that ends by itself. Returns the lines that it printed. */
async function run(code: string, url = ADDRESS): Promise<readonly string[]> {
  await using program = await start(code, url);
  assert.is(await program.ended, 0);
  return program.lines;
}

const frontend = suite("docs/frontend.md");

frontend("has blocks that follow a room and a user's rooms, query, send, and work without a connection", () => {
  assert.is(blocks.length, 5);
});

for (const [page, follow] of [
  ["its first block", blocks[0]!],
  ["the package's own page", (await codeBlocks("packages/frontend/README.md", "js", "ts"))[0]!],
]) {
  frontend(`follows a room: ${page}`, async () => {
    await using tidemark = await startTidemark();
    await tidemark.sent("event", ROOM, [member(ME), message("$1")]);
    await using program = await start(follow!, tidemark.url);
    const { lines } = program;
    await eventually(() => lines.length > 0, "the state, at once");
    await tidemark.sent("receipt", ROOM, receipt(ME, "$1"));
    await eventually(() => lines.length > 1, "the change");
    assert.equal(lines, [
      "snapshot: 1 unread, 1 in the main timeline, 0 threads",
      "receipts: 0 unread, 0 in the main timeline, 0 threads",
    ]);
  });
}

frontend("follows a user's rooms", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, { ...member(ME), content: { membership: "invite" } });
  await eventually(async () => (await tidemark.query(ME, { op: "rooms" })).rooms[ROOM], "it is folded");
  await using program = await start(blocks[1]!, tidemark.url);
  const { lines } = program;
  await eventually(() => lines.length > 0, "the rooms, at once");
  await tidemark.sent("event", ROOM, { ...member(ME), event_id: "$joined" });
  await eventually(() => lines.length > 1, "the change");
  assert.equal(lines, [`${ROOM}: invite`, `${ROOM}: invite → join`]);
});

frontend("queries, and sends", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, [member(ME), message("$0")]);
  assert.equal(await run(blocks[2]!, tidemark.url), [`${ROOM}: join, 1 unread`]);
  await run(blocks[3]!, tidemark.url);
  assert.equal((await tidemark.query(ROOM, { op: "unread", user_id: ME })).main, { count: 0 });
});

frontend("works without a connection", async () => {
  assert.equal(await run(blocks[4]!), ["1 unread", "true"]);
});

frontend.run();

const federation = suite("docs/homeservers.md");

federation("sends the EDUs that wait for a server", async () => {
  const [code, ...others] = await codeBlocks("docs/homeservers.md", "js", "ts");
  assert.equal(others, []);
  await using tidemark = await startFederation();
  await tidemark.sent("state", ROOM, [member("@a:here.example"), member("@b:there.example")]);
  await tidemark.sent("event", ROOM, sentHere("$1"));
  await tidemark.sent("receipt", ROOM, read("@a:here.example", "$1"));
  await using program = await start(code!, tidemark.url);
  await eventually(() => program.lines.length > 0, "a transaction");
  const [, server, edus] = /^PUT https:\/\/([^/]+)\/\S+ (.+)$/.exec(program.lines[0]!)!;
  assert.is(server, "there.example");
  assert.equal(JSON.parse(edus!)[0].content[ROOM]["m.read"]["@a:here.example"].event_ids, ["$1"]);
});

federation.run();
