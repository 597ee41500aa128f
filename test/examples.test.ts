/** The examples, run as a reader would run them. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { message as here, member, read, startFederation } from "./support/federation.ts";
import { BASE, eventually, message, receipt, startTidemark } from "./support/harness.ts";
import { codeBlocks, startExample, TOP } from "./support/samples.ts";

const ROOM = "!room:here.example";

const examples = suite("examples");

examples("the front-end shows every marker that moves", async () => {
  await using tidemark = await startTidemark();
  await using frontend = startExample("01-front-end.ts", tidemark.url);
  await tidemark.sent("event", ROOM, message("$1"));
  // Receipts that are published before the example has subscribed are not shown.
  for (let i = 0; frontend.lines.length === 0; i++) {
    await tidemark.sent("receipt", ROOM, receipt(`@u${i}:a.org`, "$1"));
  }
  assert.match(frontend.lines[0]!, new RegExp(`^@u\\d+:a\\.org has read ${ROOM} up to \\$1, order ${BASE + 1}$`));
});

examples("the front-end is the README's", async () => {
  const example = await readFile(resolve(TOP, "examples/01-front-end.ts"), "utf8");
  assert.equal(await codeBlocks("README.md", "js", "ts"), [example.slice(example.indexOf("import "))]);
});

examples("the README's requests get the replies that it shows", async () => {
  await using tidemark = await startTidemark();
  const shell = (await codeBlocks("README.md", "sh")).join("");
  const requests = [...shell.matchAll(/^nats request '([^']+)' '([^']+)'\n# (.+)$/gm)];
  assert.is(requests.length, 3);
  for (const [, subject, request, reply] of requests) {
    const ask = async () => Buffer.from(await tidemark.request(subject!, Buffer.from(request!))).toString();
    // A question may be answered before the entries in front of it are folded.
    if (subject!.startsWith("tidemark.query.")) await eventually(async () => (await ask()) === reply, reply!);
    else assert.is(await ask(), reply);
  }
});

examples("the homeserver prints the deltas of what it sends", async () => {
  await using tidemark = await startFederation();
  await using homeserver = startExample("02-homeserver.ts", tidemark.url);
  const { lines } = homeserver;
  await eventually(() => lines.length >= 4, "two rounds");
  const [, ...event] = lines[0]!.split(" ");
  assert.is(JSON.parse(event.join(" "))[0].unsigned.order, BASE + 1);
  const [, ...marker] = lines[1]!.split(" ");
  const [types] = Object.values<Record<string, object>>(JSON.parse(marker.join(" ")));
  assert.equal(Object.keys(types!["m.read"]!), ["@bob:example.org"]);
});

examples("the federation sender prints a transaction for each server", async () => {
  await using tidemark = await startFederation();
  await tidemark.sent("state", ROOM, [member("@a:here.example"), member("@b:there.example")]);
  await tidemark.sent("event", ROOM, here("$1"));
  await tidemark.sent("receipt", ROOM, read("@a:here.example", "$1"));
  await using sender = startExample("03-federation-sender.ts", tidemark.url);
  const { lines } = sender;
  await eventually(() => lines.at(-1) === "}", "a transaction");
  assert.match(lines[0]!, /^PUT https:\/\/there\.example\/_matrix\/federation\/v1\/send\/[\w-]+$/);
  const { edus, pdus } = JSON.parse(lines.slice(1).join("\n"));
  assert.equal(pdus, []);
  assert.equal(edus[0].content[ROOM]["m.read"]["@a:here.example"].event_ids, ["$1"]);
});

examples.run();
