/** What survives a restart of a process or its broker, and what ends the process (docs/design.md#when-things-fail). */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli, startArgs } from "./support/cli-process.ts";
import { eventually, message, pack, receipt, startBus, startTidemark, token } from "./support/harness.ts";
import { sendUntilAccepted } from "./support/load.ts";

const ROOM = "!process:a.org";

const restart = suite("restart");

// E8
restart("when its own broker ends, it exits with an error", async () => {
  await using bus = await startBus();
  const data = join(bus.dir, "own");
  await using tidemark = runCli(["start", "--data", data, "--partitions", "1"]);
  await tidemark.ready;
  const [ports] = await readdir(join(data, "nats", "ports"));
  process.kill(Number(/_(\d+)\.ports$/.exec(ports!)?.[1]), "SIGKILL");
  assert.is(await tidemark.ended, 1);
});

restart("a restart folds the log to the same orders, markers and snapshots", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  await tidemark.sent("backfill", ROOM, message("$0"));
  await tidemark.sent("receipt", ROOM, [
    receipt("@b:a.org", "$1", { thread_id: "main" }),
    receipt("@b:a.org", "$2", { receipt_type: "m.read.private" }),
    receipt("@c:a.org", "$later"),
  ]);
  const ask = () =>
    Promise.all([
      tidemark.query(ROOM, { op: "snapshot", user_id: "@b:a.org" }),
      tidemark.query(ROOM, { op: "orders", event_ids: ["$0", "$1", "$2"] }),
    ]);
  const [first] = await tidemark.sent("event", ROOM, message("$3"));
  await eventually(async () => (await ask())[0].position === first, "everything is folded");
  const before = await ask();
  const deltas = tidemark.subscribe("tidemark.client.>");
  await tidemark.restart();
  assert.equal(await ask(), before);
  const [late] = await tidemark.sent("event", ROOM, message("$later"));
  const { body } = await deltas.next((body) => body.event?.content.$later !== undefined);
  assert.is(body.position, late, "a held receipt is released after the restart");
});

// E6
restart("it continues by itself when its broker is back", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$before"));
  const deltas = tidemark.subscribe("tidemark.client.>");
  await tidemark.restartBroker();
  await sendUntilAccepted(tidemark, "event", ROOM, message("$after"));
  await sendUntilAccepted(tidemark, "receipt", ROOM, receipt("@b:a.org", "$after"));
  await deltas.next((body) => body.event?.content.$after !== undefined);
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ["$before", "$after"] });
  assert.ok(orders.$before > 0 && orders.$after > orders.$before);
  await eventually(async () => (await fetch(`${tidemark.httpUrl}/readyz`)).status === 200, "it is ready again");
});

// E12
restart(
  "a record of a newer version stops its partition with a clear error, and a start that could serve no other",
  async () => {
    await using bus = await startBus();
    await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
    const { http } = await tidemark.ready;
    await bus.sent("event", ROOM, message("$1"));
    await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOM)}`, pack([99, 1, [[0, message("$2")]]]));
    const says = /record 3 of the log can't be read: its version is 99, this Tidemark reads up to 2/;
    await eventually(async () => (await fetch(`${http}/readyz`)).status === 503, "it is no longer ready");
    assert.is((await fetch(`${http}/healthz`)).status, 200);
    assert.match(tidemark.stderr.join("\n"), says);
    assert.is((await bus.query(ROOM, { op: "orders", event_ids: ["$1"] })).errcode, "M_UNKNOWN");
    tidemark.kill("SIGTERM");
    assert.is(await tidemark.ended, 0);

    await using again = runCli(startArgs(bus));
    assert.is(await again.ended, 1);
    assert.equal(again.stdout, []);
    assert.match(again.stderr.at(-1)!, says);
    assert.not.match(again.stderr.join("\n"), /^\s+at /m);
  },
);

restart.run();
