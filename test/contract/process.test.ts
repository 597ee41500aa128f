/** Tidemark as a process (DESIGN 4.6, 6 and 7): its output, its signals, its ends, and what survives them. */
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { DeltaReader, markersIn, uncovered } from "../support/delta-reader.ts";
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
} from "../support/harness.ts";

const ROOM = "!process:a.org";
const KILLS = 4;
const SEED = Number(process.env.SEED ?? 4_033);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** `start` on the test's broker, with a data directory of its own. */
function startArgs(bus: BusHarness, ...more: string[]): string[] {
  return ["start", "--nats", bus.url, "--data", join(bus.dir, "data"), ...more];
}

/** Sends until it is taken: a sender's part when there is no answer. */
async function sentAtLast(bus: BusHarness, inlet: string, room: string, body: unknown): Promise<void> {
  await eventually(
    async () => {
      const reply = await bus.nc
        .request(`tidemark.in.${inlet}.${token(room)}`, JSON.stringify(body), { timeout: 500 })
        .catch(() => undefined);
      return reply?.json<Body>().ok === true;
    },
    `a reply to ${JSON.stringify(body)}`,
  );
}

async function status(url: string): Promise<number> {
  return (await fetch(url)).status;
}

/** A sequence of numbers in [0, 1) that a seed fixes (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const run = suite("process");

run("without --nats it runs a broker of its own, prints one line, and takes the broker with it", async () => {
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
  assert.equal(reply.json(), { ok: true, positions: [1024] });
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
  const query = JSON.stringify({ op: "orders", event_ids: ["$1"] });
  assert.equal((await client.request(`tidemark.query.${token(ROOM)}`, query)).json<Body>().orders, { $1: 1024 });
  await client.close();
});

run("the end of its own broker is its own end, as a failure", async () => {
  await using bus = await startBus();
  const data = join(bus.dir, "own");
  await using tidemark = runCli(["start", "--data", data, "--partitions", "1"]);
  await tidemark.ready;
  const [ports] = await readdir(join(data, "nats", "ports"));
  process.kill(Number(/_(\d+)\.ports$/.exec(ports!)?.[1]), "SIGKILL");
  assert.is(await tidemark.ended, 1);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  run(`${signal} drains: what was answered is in the log, and published`, async () => {
    await using bus = await startBus();
    await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
    await tidemark.ready;
    const deltas = bus.subscribe("tidemark.client.>");
    const taken: [id: string, position: number][] = [];
    let signalled = false;
    const requests = Array.from({ length: 300 }, async (_, i) => {
      const id = `$${i}`;
      const subject = `tidemark.in.event.${token(`!r${i % 20}:a.org`)}`;
      const reply = await bus.nc.request(subject, JSON.stringify(message(id)), { timeout: 5_000 });
      const { ok, positions } = reply.json<Body>();
      if (!ok) return;
      taken.push([id, positions[0]]);
      if (taken.length < 20 || signalled) return;
      signalled = true;
      tidemark.kill(signal);
    });
    await Promise.allSettled(requests);
    assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));
    assert.is(tidemark.stdout.length, 1);
    assert.ok(taken.length >= 20);

    const stored = (await Promise.all([0, 1].map((partition) => bus.records(partition)))).flat();
    const published = deltas.messages.flatMap(({ body }) => body.events ?? []);
    for (const [id, position] of taken) {
      const record = stored.find(
        ({ sequence, entries }) => sequence === sequenceOf(position) && entries[position % 1024]?.[1].event_id === id,
      );
      assert.ok(record, `${id} is in the log at ${position}`);
      assert.ok(
        published.some(({ event_id, unsigned }) => event_id === id && unsigned.order === position),
        `${id} is published`,
      );
    }
  });
}

run("a second signal ends a drain that hangs, at once", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  await tidemark.ready;
  bus.pauseBroker();
  tidemark.kill("SIGTERM");
  await eventually(() => tidemark.stderr.some((line) => line.includes("stopping")), "the drain");
  const startedAt = performance.now();
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 1);
  assert.ok(performance.now() - startedAt < 3_000, "it did not wait for the drain's own limit");
});

run("killed under load and started again, it goes on: readers end where the snapshot is", async () => {
  process.stdout.write(`seed ${SEED}\n`);
  const next = random(SEED);
  const pick = (count: number) => Math.floor(next() * count);
  const rooms = ["!k0:a.org", "!k1:a.org", "!k2:a.org"];

  await using bus = await startBus();
  const deltas = bus.subscribe("tidemark.client.>");
  let sending = true;
  let count = 0;
  const sender = async () => {
    while (sending) {
      const room = rooms[pick(3)]!;
      const id = count++;
      if (next() < 0.3) await sentAtLast(bus, "event", room, message(`$${id}`));
      else {
        // Of an event that may come later, or never.
        const target = `$${Math.max(0, id - 20 + pick(24))}`;
        const thread = next() < 0.2 ? { thread_id: "main" } : {};
        await sentAtLast(bus, "receipt", room, receipt(`@u${pick(5)}:a.org`, target, thread));
      }
    }
  };

  let senders: Promise<void>[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
    await tidemark.ready;
    if (senders.length === 0) senders = Array.from({ length: 8 }, sender);
    const enough = count + 100 + pick(400);
    await eventually(() => count > enough, "enough load");
    tidemark.kill("SIGKILL");
    assert.is(await tidemark.ended, "SIGKILL");
  }
  await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
  await tidemark.ready;
  sending = false;
  await Promise.all(senders);

  const agree = async () => {
    const reader = new DeltaReader();
    for (const { subject, body } of deltas.messages) reader.read(subject, body);
    const different: string[] = [];
    for (const room of rooms) {
      const { receipts } = await bus.query(room, { op: "snapshot" });
      const seen = reader.room(room);
      if (JSON.stringify(uncovered(markersIn(receipts))) !== JSON.stringify(uncovered(seen.markers))) {
        different.push(room);
      }
      const event_ids = [...seen.orders.keys()].slice(-1_000);
      const { orders } = await bus.query(room, { op: "orders", event_ids });
      assert.equal(orders, Object.fromEntries(event_ids.map((id) => [id, seen.orders.get(id)])));
    }
    return different.length === 0;
  };
  await eventually(agree, "a reader of deltas equals the snapshots");
  const logged = (await Promise.all([0, 1].map((partition) => bus.records(partition)))).flat();
  const events = new Set<string>();
  for (const { subject, entries } of logged) {
    for (const [kind, event] of entries) if (kind === 0) events.add(`${subject} ${event.event_id}`);
  }
  const told = new Set(
    deltas.messages.flatMap(({ body }) =>
      (body.events ?? []).map((event: Body) => `${body.room_id} ${event.event_id}`),
    ),
  );
  assert.is(told.size, events.size, "every event of the log was published");
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
  assert.is(body.position, late, "what was held is released after the restart");
});

run("another partition count than the logs' is refused, with both", async () => {
  await using bus = await startTidemark({ partitions: 2 });
  await using tidemark = runCli(startArgs(bus, "--partitions", "3"));
  assert.is(await tidemark.ended, 1);
  assert.equal(tidemark.stdout, []);
  assert.is(tidemark.stderr.length, 1);
  assert.match(tidemark.stderr[0]!, "made with 2 partitions, not 3");
});

run("a partition count that is none is refused, by its key", async () => {
  for (const garbage of ["banana", "", "0", "-1", "2.5", "100000000"]) {
    await using bus = await startBus();
    const bucket = await bus.nc.jetstream().views.kv("tidemark", { history: 1 });
    await bucket.put("partitions", garbage);
    const error = await rejects(startOn(bus), "BUS_MISMATCH");
    assert.match(error.message, /key partitions of the bucket tidemark/);
  }
});

run("wrong usage ends with 2, and says why on standard error", async () => {
  const wrong: [args: string[], env?: NodeJS.ProcessEnv][] = [
    [[]],
    [["bogus"]],
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
  for (let from = 0; from < wrong.length; from += 3) {
    await Promise.all(
      wrong.slice(from, from + 3).map(async ([args, env]) => {
        await using tidemark = runCli(args, env);
        assert.is(await tidemark.ended, 2, `${args.join(" ")} ${JSON.stringify(env ?? {})}`);
        assert.equal(tidemark.stdout, []);
        assert.ok(tidemark.stderr.length > 0);
        assert.not.match(tidemark.stderr.join("\n"), /^\s+at /m);
      }),
    );
  }
  await using help = runCli(["start", "--help"]);
  assert.is(await help.ended, 0);
});

run("a broker that can't be reached is one clear line", async () => {
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

run("TIDEMARK_DATA is where its own broker keeps its store", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(["start"], { TIDEMARK_DATA: join(bus.dir, "from-env"), TIDEMARK_PARTITIONS: "1" });
  await tidemark.ready;
  assert.ok((await readdir(join(bus.dir, "from-env", "nats"))).includes("jetstream"));
});

run("it goes on by itself when its broker comes back", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$before"));
  const deltas = tidemark.subscribe("tidemark.client.>");
  await tidemark.restartBroker();
  await sentAtLast(tidemark, "event", ROOM, message("$after"));
  await sentAtLast(tidemark, "receipt", ROOM, receipt("@b:a.org", "$after"));
  await deltas.next((body) => body.event?.content.$after !== undefined);
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ["$before", "$after"] });
  assert.ok(orders.$before > 0 && orders.$after > orders.$before);
  await eventually(async () => (await status(`${tidemark.httpUrl}/readyz`)) === 200, "it is ready again");
});

run("a log at the level info names no user and no room", async () => {
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

run("a record that it can't read stops its partition, and then every start, with a clear error", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  const { http } = await tidemark.ready;
  await bus.sent("event", ROOM, message("$1"));
  await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOM)}`, pack([2, 1, [[0, message("$2")]]]));
  const says = /record 2 of the log can't be read: its version is 2, this Tidemark reads 1/;
  await eventually(async () => (await status(`${http}/readyz`)) === 503, "it is not ready any more");
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

run("records of any other shape stop it as well, each with what is wrong", async () => {
  const shapes: [bytes: Uint8Array, says: string][] = [
    [Buffer.from("text"), "bytes"],
    [pack("text"), "not an array"],
    [pack([1, "now", []]), "clock or entries"],
    [pack([1, 1, []]), "0 entries"],
    [pack([1, 1, [[9, {}]]]), "unknown kind"],
    [pack([1, 1, [[2, "@u:a.org"]]]), "unknown kind"],
    [new Uint8Array(), "not MessagePack"],
  ];
  for (const [bytes, says] of shapes) {
    await using bus = await startBus();
    const first = await startOn(bus, { partitions: 1 });
    await first.stop();
    await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOM)}`, bytes);
    const error = await rejects(startOn(bus, { partitions: 1 }), "RECORD_UNREADABLE");
    if (says !== "bytes") assert.match(error.message, says);
  }
  await using bus = await startBus();
  await (await startOn(bus, { partitions: 1 })).stop();
  await bus.nc.jetstream().publish("tidemark.log.0.noroom", pack([1, 1, [[0, message("$1")]]]));
  assert.match((await rejects(startOn(bus, { partitions: 1 }), "RECORD_UNREADABLE")).message, "of no room");
});

run("an HTTP port that is taken is one clear line, and leaves nothing behind", async () => {
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
