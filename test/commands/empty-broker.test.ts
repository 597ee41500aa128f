/** A broker that no Tidemark has run on: whoever only reads says so, and leaves it as it is. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { openFederation } from "../../src/federation-sender/index.ts";
import { connect } from "../../src/frontend/index.ts";
import { ROOM, tidemarkCommand } from "../support/commands.ts";
import { type BusHarness, rejects, startBus } from "../support/harness.ts";

async function streamsOf({ jsm }: BusHarness): Promise<string[]> {
  const names: string[] = [];
  for await (const name of jsm.streams.names()) names.push(name);
  return names;
}

const broker = suite("an empty broker");

broker("has no stream after a command that only reads, and the command says what is missing", async () => {
  await using bus = await startBus();
  const homeserver = ["--homeserver", "http://127.0.0.1:1", "--token", "token"];
  const reading: Record<string, readonly string[]> = {
    status: ["status"],
    replay: ["replay", ROOM],
    "replay --all": ["replay", "--all"],
    verify: ["verify", "--all"],
    export: ["export", ROOM, "--out", join(bus.dir, "log")],
    "import-room": ["import-room", ROOM, ...homeserver],
  };
  for (const [command, args] of Object.entries(reading)) {
    const { status, stderr } = await tidemarkCommand([...args, "--nats", bus.url]);
    assert.is(status, 1, command);
    assert.match(stderr, "no Tidemark has made its logs on this broker yet: start a worker first");
    assert.equal(await streamsOf(bus), [], command);
  }
});

broker("has no stream after a library has connected, and the library says what is missing", async () => {
  await using bus = await startBus();
  await rejects(connect({ nats: bus.url, readyMs: 0 }), "BUS_UNAVAILABLE");
  await rejects(openFederation({ nats: bus.url, readyMs: 0 }), "BUS_UNAVAILABLE");
  assert.equal(await streamsOf(bus), []);
});

broker.run();
