/**
 * Tidemark as a process (docs/design.md#the-command-line, docs/design.md#workers, docs/design.md#when-things-fail): its
 * output, signals, exit status, and what survives a restart.
 */
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "./support/cli-process.ts";
import { tidemarkCommand } from "./support/commands.ts";
import {
  type Body,
  type BusHarness,
  eventually,
  LIMIT_MS,
  message,
  pack,
  receipt,
  rejects,
  sequenceOf,
  startBus,
  startOn,
  startTidemark,
  token,
} from "./support/harness.ts";
import { sendUntilAccepted } from "./support/load.ts";

const ROOM = "!process:a.org";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Arguments of `start` on the test's broker, with a data directory beside the broker's. */
function startArgs(bus: BusHarness, ...more: string[]): string[] {
  return ["start", "--nats", bus.url, "--data", join(bus.dir, "data"), ...more];
}

async function status(url: string): Promise<number> {
  return (await fetch(url)).status;
}

const run = suite("process");

run("without --nats it runs its own broker, prints one line, and stops the broker when it stops", async () => {
  await using bus = await startBus();
  const data = join(bus.dir, "own");
  await using tidemark = runCli(["start", "--data", data, "--partitions", "1"]);
  const { nats, http } = await tidemark.ready;
  assert.match(nats, /^nats:\/\/127\.0\.0\.1:\d+$/);
  assert.match(http, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.is(await status(`${http}/healthz`), 200);
  assert.is(await status(`${http}/readyz`), 200);
  assert.is(await status(`${http}/nothing`), 404);
  assert.ok((await readdir(join(data, "nats"))).includes("jetstream"), "its store is under the data directory");

  const nc = await connect({ servers: nats });
  const reply = await nc.request(`tidemark.in.event.${token(ROOM)}`, JSON.stringify(message("$1")));
  assert.equal(reply.json(), { ok: true, positions: [2048] });
  const query = JSON.stringify({ op: "orders", event_ids: ["$1"] });
  const orderAt = async (client: NatsConnection) =>
    (await client.request(`tidemark.query.${token(ROOM)}`, query)).json<Body>().orders.$1;
  const order = await orderAt(nc);
  const msSinceBase = Date.now() - order / 1024;
  assert.ok(msSinceBase >= 0 && msSinceBase < LIMIT_MS, "it is one more than the log's base: now, × 1,024");
  await nc.close();

  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0);
  assert.equal(tidemark.stdout, [`tidemark ready nats=${nats} http=${http}`]);
  await connect({ servers: nats, reconnect: false }).then(
    () => assert.unreachable("the broker is gone"),
    () => undefined,
  );

  await using again = runCli(["start", "--data", data]);
  const second = await again.ready;
  const client = await connect({ servers: second.nats });
  assert.is(await orderAt(client), order);
  await client.close();
});

// E8
run("when its own broker ends, it exits with an error", async () => {
  await using bus = await startBus();
  const data = join(bus.dir, "own");
  await using tidemark = runCli(["start", "--data", data, "--partitions", "1"]);
  await tidemark.ready;
  const [ports] = await readdir(join(data, "nats", "ports"));
  process.kill(Number(/_(\d+)\.ports$/.exec(ports!)?.[1]), "SIGKILL");
  assert.is(await tidemark.ended, 1);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  run(`${signal} drains: every answered request is in the log, and published`, async () => {
    await using bus = await startBus();
    await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
    await tidemark.ready;
    const deltas = bus.subscribe("tidemark.client.>");
    const accepted: [id: string, position: number][] = [];
    // Each sends until it gets no answer, so the last requests arrive during the drain.
    const sender = async (name: number) => {
      for (let i = 0; ; i++) {
        const id = `$${name}-${i}`;
        const subject = `tidemark.in.event.${token(`!r${name}:a.org`)}`;
        const reply = await bus.nc
          .request(subject, JSON.stringify(message(id)), { timeout: 2_000 })
          .catch(() => undefined);
        if (reply === undefined) return;
        const { ok, positions } = reply.json<Body>();
        if (ok) accepted.push([id, positions[0]]);
        if (accepted.length === 100) tidemark.kill(signal);
      }
    };
    await Promise.all([0, 1, 2, 3].map(sender));
    assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));
    assert.is(tidemark.stdout.length, 1);
    assert.ok(accepted.length >= 100);

    const stored = (await Promise.all([0, 1].map((partition) => bus.records(partition)))).flat();
    const published = deltas.messages.flatMap(({ body }) => body.events ?? []);
    for (const [id, position] of accepted) {
      const record = stored.find(
        ({ sequence, entries }) => sequence === sequenceOf(position) && entries[position % 1024]?.[1].event_id === id,
      );
      assert.ok(record, `${id} is in the log at ${position}`);
      assert.ok(
        published.some(({ event_id }) => event_id === id),
        `${id} is published`,
      );
    }
  });
}

run("a second signal ends a hanging drain at once", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  await tidemark.ready;
  bus.pauseBroker();
  tidemark.kill("SIGTERM");
  await eventually(() => tidemark.stderr.some((line) => line.includes("stopping")), "the drain");
  const startedAt = performance.now();
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 1);
  assert.ok(performance.now() - startedAt < 3_000, "it did not wait for the drain's time limit");
});

run("a restart folds the log to the same orders, markers and snapshots", async () => {
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

run("a partition count that differs from the logs' is refused, and the error names both", async () => {
  await using bus = await startTidemark({ partitions: 2 });
  await using tidemark = runCli(startArgs(bus, "--partitions", "3"));
  assert.is(await tidemark.ended, 1);
  assert.equal(tidemark.stdout, []);
  assert.is(tidemark.stderr.length, 1);
  assert.match(tidemark.stderr[0]!, "made with 2 partitions, not 3");
});

run("an invalid partition count in the bucket is refused, and the error names its key", async () => {
  for (const garbage of ["banana", "", "0", "-1", "2.5", "100000000"]) {
    await using bus = await startBus();
    const bucket = await bus.nc.jetstream().views.kv("tidemark", { history: 1 });
    await bucket.put("partitions", garbage);
    const error = await rejects(startOn(bus), "BUS_MISMATCH");
    assert.match(error.message, /key partitions of the bucket tidemark/);
  }
});

run("wrong usage exits with 2, and prints the reason on standard error", async () => {
  const wrong: [args: string[], env?: NodeJS.ProcessEnv][] = [
    [[]],
    [["start", "--bogus"]],
    [["start", "surplus"]],
    [["start", "--partitions", "0"]],
    [["start", "--partitions", "two"]],
    [["start", "--http", "nowhere"]],
    [["start", "--roles", "none"]],
    [["start", "--log-level", "loud"]],
    [["start"], { TIDEMARK_PARTITIONS: "1.5" }],
    [["start"], { TIDEMARK_HTTP: "127.0.0.1:65536" }],
  ];
  for (const [args, env] of wrong) {
    const { status, stdout, stderr } = await tidemarkCommand(args, env);
    assert.is(status, 2, `${args.join(" ")} ${JSON.stringify(env ?? {})}`);
    assert.equal(stdout, []);
    assert.ok(stderr.length > 0);
    assert.not.match(stderr, /^\s+at /m);
  }
  await using tidemark = runCli(["bogus"]);
  assert.is(await tidemark.ended, 2);
  assert.equal(tidemark.stdout, []);
  assert.ok(tidemark.stderr.length > 0);
  assert.is((await tidemarkCommand(["start", "--help"])).status, 0);
});

run("an unreachable broker is reported in one clear line", async () => {
  const url = `nats://user:password@127.0.0.1:${await freePort()}`;
  await using tidemark = runCli(["start", "--nats", url]);
  assert.is(await tidemark.ended, 1);
  assert.equal(tidemark.stdout, []);
  assert.is(tidemark.stderr.length, 1, tidemark.stderr.join("\n"));
  assert.match(tidemark.stderr[0]!, /^tidemark: no connection to nats:\/\/\*\*\*@127\.0\.0\.1:\d+: \S/);
});

run("options may come from the environment", async () => {
  await using bus = await startBus();
  const port = await freePort();
  await using tidemark = runCli(["start"], {
    TIDEMARK_NATS: bus.url,
    TIDEMARK_DATA: join(bus.dir, "from-env"),
    TIDEMARK_HTTP: `127.0.0.1:${port}`,
    TIDEMARK_PARTITIONS: "3",
  });
  assert.equal(await tidemark.ready, { nats: bus.url, http: `http://127.0.0.1:${port}` });
  assert.is((await bus.lastSequences()).length, 3);
});

run("its own broker stores its data under TIDEMARK_DATA", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(["start"], { TIDEMARK_DATA: join(bus.dir, "from-env"), TIDEMARK_PARTITIONS: "1" });
  await tidemark.ready;
  assert.ok((await readdir(join(bus.dir, "from-env", "nats"))).includes("jetstream"));
});

// E6
run("it continues by itself when its broker is back", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$before"));
  const deltas = tidemark.subscribe("tidemark.client.>");
  await tidemark.restartBroker();
  await sendUntilAccepted(tidemark, "event", ROOM, message("$after"));
  await sendUntilAccepted(tidemark, "receipt", ROOM, receipt("@b:a.org", "$after"));
  await deltas.next((body) => body.event?.content.$after !== undefined);
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ["$before", "$after"] });
  assert.ok(orders.$before > 0 && orders.$after > orders.$before);
  await eventually(async () => (await status(`${tidemark.httpUrl}/readyz`)) === 200, "it is ready again");
});

run("log lines at the level info name no user and no room", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
  const { http } = await tidemark.ready;
  const room = "!logged:a.org";
  await bus.sent("event", room, message("$1", { sender: "@secret:a.org" }));
  await bus.sent("receipt", room, [
    receipt("@secret:a.org", "$1"),
    receipt("@secret:a.org", "$1", { receipt_type: "m.read.private" }),
    receipt("@secret:a.org", "$1", { thread_id: "$2" }),
  ]);
  await bus.send("receipt", room, receipt("@secret a.org", "$1"));
  await bus.send("edu", "a.org", { [room]: { "m.read": { "@secret:b.org": {}, "@secret:a.org": {} } } });
  await bus.query(room, { op: "snapshot", user_id: "@secret:a.org" });
  await bus.query(room, { op: "unread", user_id: "@secret" });
  await fetch(`${http}/@secret:a.org`);
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0);
  assert.not.match(tidemark.stderr.join("\n"), /secret|logged:a/);
});

// E12
run("a record of a newer version stops its partition, and then every start, with a clear error", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  const { http } = await tidemark.ready;
  await bus.sent("event", ROOM, message("$1"));
  await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOM)}`, pack([99, 1, [[0, message("$2")]]]));
  const says = /record 3 of the log can't be read: its version is 99, this Tidemark reads up to 2/;
  await eventually(async () => (await status(`${http}/readyz`)) === 503, "it is no longer ready");
  assert.is(await status(`${http}/healthz`), 200);
  assert.match(tidemark.stderr.join("\n"), says);
  assert.is((await bus.query(ROOM, { op: "orders", event_ids: ["$1"] })).errcode, "M_UNKNOWN");
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0);

  await using again = runCli(startArgs(bus));
  assert.is(await again.ended, 1);
  assert.equal(again.stdout, []);
  assert.match(again.stderr.at(-1)!, says);
  assert.not.match(again.stderr.join("\n"), /^\s+at /m);
});

run("an HTTP port in use is reported in one clear line, and ends the process", async () => {
  await using bus = await startBus();
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const startedAt = performance.now();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1", "--http", `127.0.0.1:${port}`));
  assert.is(await tidemark.ended, 1);
  server.close();
  assert.is(tidemark.stderr.length, 1, tidemark.stderr.join("\n"));
  assert.match(tidemark.stderr[0]!, "EADDRINUSE");
  assert.ok(performance.now() - startedAt < LIMIT_MS);
});

run.run();
