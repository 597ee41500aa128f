/** The examples for homeservers and federation senders, run as a reader would run them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { member, message, read, startFederation } from "../support/federation.ts";
import { eventually } from "../support/harness.ts";

const TOP = resolve(import.meta.dirname, "../..");
const ROOM = "!room:here.example";

interface Example extends AsyncDisposable {
  readonly lines: readonly string[];
}

function run(name: string, url: string): Example {
  const child = spawn(process.execPath, ["--import", "tsx", `examples/${name}`, url], {
    cwd: TOP,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  return {
    lines,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await once(child, "exit");
    },
  };
}

const examples = suite("examples beside a homeserver");

examples("the homeserver prints the deltas of what it sends", async () => {
  await using tidemark = await startFederation();
  await using homeserver = run("02-homeserver.ts", tidemark.url);
  const { lines } = homeserver;
  await eventually(() => lines.length >= 4, "two rounds");
  const [position, ...event] = lines[0]!.split(" ");
  assert.is(JSON.parse(event.join(" "))[0].unsigned.order, Number(position));
  const [, ...marker] = lines[1]!.split(" ");
  const [types] = Object.values<Record<string, object>>(JSON.parse(marker.join(" ")));
  assert.equal(Object.keys(types!["m.read"]!), ["@bob:example.org"]);
});

examples("the federation sender prints a transaction for each server", async () => {
  await using tidemark = await startFederation();
  await tidemark.sent("state", ROOM, [member("@a:here.example"), member("@b:there.example")]);
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, read("@a:here.example", "$1"));
  await using sender = run("03-federation-sender.ts", tidemark.url);
  const { lines } = sender;
  await eventually(() => lines.at(-1) === "}", "a transaction");
  assert.match(lines[0]!, /^PUT https:\/\/there\.example\/_matrix\/federation\/v1\/send\/[\w-]+$/);
  const { edus, pdus } = JSON.parse(lines.slice(1).join("\n"));
  assert.equal(pdus, []);
  assert.equal(edus[0].content[ROOM]["m.read"]["@a:here.example"].event_ids, ["$1"]);
});

examples.run();
