/** Several workers on one broker: which partitions each owns, and what happens when a worker stops or starts. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Msg } from "nats";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import { connectBus } from "../../src/bus/client/connection.ts";
import { closeBus } from "../../src/bus/client/gathered-writes.ts";
import { LEASE_TIMES, type LeaseTimes } from "../../src/bus/leases/leases.ts";
import { prepareBus } from "../../src/bus/streams.ts";
import { Ingress } from "../../src/ingress/ingress.ts";
import { Worker } from "../../src/worker/worker.ts";
import { runCli } from "../support/cli-process.ts";
import { DeltaReader } from "../support/delta-reader.ts";
import {
  type Body,
  type BusHarness,
  CLUSTER_LIMIT_MS,
  eventually,
  message,
  pack,
  receipt,
  rejects,
  startBus,
} from "../support/harness.ts";
import { Stopwatch } from "../support/stopwatch.ts";

const PARTITIONS = 4;
const ROOMS = Array.from({ length: 12 }, (_, i) => `!r${i}:a.org`);
const log = pino({ level: "silent" });

interface RunningWorker extends AsyncDisposable {
  readonly worker: Worker;
}

async function startWorker(
  bus: BusHarness,
  name: string,
  leaseTimes: LeaseTimes = LEASE_TIMES,
  foldVersion = FOLD_VERSION,
): Promise<RunningWorker> {
  const data = join(bus.dir, name);
  // Which partitions a worker is to own follows from its id, which is random otherwise: it might be none.
  const id = join(data, "worker-id");
  mkdirSync(data, { recursive: true });
  if (!existsSync(id)) writeFileSync(id, name);
  const nc = await connectBus({ url: bus.url, name });
  const partitions = await prepareBus(nc, { partitions: PARTITIONS });
  const worker = await Worker.start({
    nc,
    partitions,
    data,
    log,
    leaseTimes,
    foldVersion,
  }).catch(async (error) => {
    await nc.close();
    throw error;
  });
  let ended: Promise<void> | undefined;
  const end = async () => {
    await worker.drain();
    await closeBus(nc);
  };
  return {
    worker,
    [Symbol.asyncDispose]: () => {
      ended ??= end();
      return ended;
    },
  };
}

async function startIngress(bus: BusHarness): Promise<AsyncDisposable> {
  const nc = await connectBus({ url: bus.url, name: "ingress" });
  const ingress = new Ingress({ nc, partitions: PARTITIONS, log });
  await nc.flush();
  return {
    [Symbol.asyncDispose]: async () => {
      await ingress.drain();
      await closeBus(nc);
    },
  };
}

const leaseOf = (worker: string) => JSON.stringify({ v: 1, worker, session: worker, lineage: "", fold: 0 });

const states = ({ worker }: RunningWorker) =>
  Array.from({ length: PARTITIONS }, (_, partition) => worker.partitions.get(partition)?.state ?? "none");
const owned = (running: RunningWorker) => states(running).flatMap((state, i) => (state === "live" ? [i] : []));

async function ask(bus: BusHarness, room: string): Promise<unknown> {
  const { orders } = await bus.query(room, { op: "orders", event_ids: [`$${room}`] });
  return orders?.[`$${room}`];
}

const ownership = suite("ownership");

ownership("two workers share the partitions, each a warm standby of the other, and answer for all rooms", async () => {
  await using bus = await startBus();
  await using first = await startWorker(bus, "first");
  assert.equal(states(first), ["live", "live", "live", "live"], "a single worker owns all partitions");
  await using _ingress = await startIngress(bus);
  for (const room of ROOMS) await bus.sent("event", room, message(`$${room}`));

  await using second = await startWorker(bus, "second");
  await eventually(() => owned(first).length + owned(second).length === PARTITIONS, "each partition has an owner");
  await eventually(() => owned(second).length > 0 || owned(first).length === PARTITIONS, "hand-overs are complete");
  await eventually(
    () => [first, second].every(({ worker }) => [...worker.partitions.values()].every(({ warm }) => warm)),
    "all are warm",
  );
  // While a partition is handed over, queries for it are refused for a moment.
  for (const room of ROOMS) {
    for (let i = 0; i < 4; i++) await eventually(async () => (await ask(bus, room)) !== undefined, room);
  }
});

ownership(
  "a rolling restart under load repeats and loses no delta, and no partition is unanswered for two seconds",
  async () => {
    await using bus = await startBus();
    const deltas = bus.subscribe("tidemark.client.>");
    await using _ingress = await startIngress(bus);
    let first = await startWorker(bus, "first");
    let second = await startWorker(bus, "second");

    let running = true;
    let sent = 0;
    const sender = async () => {
      for (; running; sent++) {
        const room = ROOMS[sent % ROOMS.length]!;
        await bus.sent("event", room, message(`$${sent}`));
        await bus.sent("receipt", room, receipt("@u:a.org", `$${sent}`));
      }
    };
    /** The longest time between two answers about one partition. */
    let gapMs = 0;
    const watcher = async (room: string) => {
      for (let sinceAnswer = new Stopwatch(); running; ) {
        const { ok } = await bus.query(room, { op: "orders", event_ids: [] });
        if (!ok) continue;
        gapMs = Math.max(gapMs, sinceAnswer.ms);
        sinceAnswer = new Stopwatch();
      }
    };
    const load = Promise.all([sender(), ...ROOMS.slice(0, PARTITIONS).map(watcher)]);
    // A worker is ready once it is warm. Only then may the next one stop.
    await first[Symbol.asyncDispose]();
    first = await startWorker(bus, "first");
    await second[Symbol.asyncDispose]();
    second = await startWorker(bus, "second");
    const then = sent;
    await eventually(() => sent > then + 50, "the load continues");
    running = false;
    await load;
    assert.ok(gapMs < 2_000, `the longest gap was ${Math.round(gapMs)} ms`);

    const published = () => {
      const reader = new DeltaReader(); // Fails at a gap, and at a repetition.
      for (const { subject, body } of deltas.messages) reader.read(subject, body);
      return ROOMS.reduce((sum, room) => sum + reader.room(room).orders.size, 0);
    };
    await eventually(() => published() === sent, "every event is published");
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
  },
);

// E1
ownership("the partitions of a killed worker are served by its standby within twenty seconds", async () => {
  await using bus = await startBus();
  await using _ingress = await startIngress(bus);
  await using killed = runCli([
    "start",
    "--nats",
    bus.url,
    "--data",
    join(bus.dir, "killed"),
    "--roles",
    "worker",
    "--partitions",
    "4",
  ]);
  await killed.ready;
  await using second = await startWorker(bus, "second");
  for (const room of ROOMS) await bus.sent("event", room, message(`$${room}`));
  killed.kill("SIGKILL");
  const sinceDeath = new Stopwatch();
  await eventually(() => owned(second).length === PARTITIONS, "its standby owns all partitions", CLUSTER_LIMIT_MS);
  assert.ok(sinceDeath.ms < 20_000, `it took ${Math.round(sinceDeath.ms)} ms`);
  for (const room of ROOMS) await eventually(async () => typeof (await ask(bus, room)) === "number", room);
});

ownership("a single worker that was killed gets its partitions back without waiting for its own leases", async () => {
  await using bus = await startBus();
  {
    const roles = ["--roles", "ingress,worker", "--partitions", `${PARTITIONS}`];
    await using killed = runCli(["start", "--nats", bus.url, "--data", join(bus.dir, "alone"), ...roles]);
    await killed.ready;
    await bus.sent("event", ROOMS[0]!, message(`$${ROOMS[0]}`));
    killed.kill("SIGKILL");
    await killed.ended;
  }
  const sinceDeath = new Stopwatch();
  await using again = await startWorker(bus, "alone");
  assert.is(owned(again).length, PARTITIONS);
  assert.ok(sinceDeath.ms < LEASE_TIMES.holdMs, `it took ${Math.round(sinceDeath.ms)} ms`);
  assert.type(await ask(bus, ROOMS[0]!), "number");
});

// E3
ownership("a worker that can't reach the broker gives its partitions up before others take them", async () => {
  await using bus = await startBus();
  const times = { renewMs: 300, holdMs: 900, ttlMs: 1_500 };
  await using worker = await startWorker(bus, "only", times);
  assert.is(owned(worker).length, PARTITIONS);
  // A lease that another worker holds can't be renewed, so from here on each renewal fails.
  const kv = await bus.nc.jetstream().views.kv("tidemark_leases");
  for (let i = 0; i < PARTITIONS; i++) {
    await kv.put(`partition.${i}`, leaseOf("other"));
  }
  await eventually(() => owned(worker).length === 0, "it gives them up");
  assert.not.ok(worker.worker.ready);
  await eventually(() => owned(worker).length === PARTITIONS, "it claims them once the leases have expired");
});

ownership("a worker that drains still gives the answers that it has asked an owner for", async () => {
  await using bus = await startBus();
  const times = { renewMs: 300, holdMs: 900, ttlMs: 60_000 };
  await using worker = await startWorker(bus, "only", times);
  const question = { op: "orders", event_ids: [] };
  const answer = await bus.query(ROOMS[0]!, question);
  const kv = await bus.nc.jetstream().views.kv("tidemark_leases");
  for (let i = 0; i < PARTITIONS; i++) await kv.put(`partition.${i}`, leaseOf("other"));
  await eventually(() => owned(worker).length === 0, "it gives them up");

  const forwarded: Msg[] = [];
  bus.nc.subscribe("tidemark.owner.>", { callback: (_, message) => forwarded.push(message) });
  await bus.nc.flush();
  const asked = bus.query(ROOMS[0]!, question);
  await eventually(() => forwarded.length === 1, "the question is forwarded");
  const drained = worker[Symbol.asyncDispose]();
  const heartbeat = `worker.${worker.worker.id}`;
  await eventually(async () => (await kv.get(heartbeat))?.operation === "DEL", "it has left");
  forwarded[0]!.respond(pack(answer));
  assert.equal(await asked, answer);
  await drained;
});

// E4
ownership(
  "a second process on the same data directory takes over for good, and the first writes no more leases",
  async () => {
    await using bus = await startBus();
    const times = { renewMs: 100, holdMs: 2_000, ttlMs: 3_000 };
    await using first = await startWorker(bus, "shared", times);
    const leases = await bus.nc.jetstream().views.kv("tidemark_leases");
    const watch = await leases.watch({ key: `worker.${first.worker.id}` });
    const sessions: string[] = [];
    const watching = (async () => {
      for await (const entry of watch)
        sessions.push(entry.operation === "PUT" ? entry.json<Body>().session : "deleted");
    })();
    {
      await using second = await startWorker(bus, "shared", times);
      await eventually(() => owned(second).length === PARTITIONS, "the second owns all partitions");
      await eventually(() => first.worker.partitions.size === 0, "the first has no partitions");
      assert.not.ok(first.worker.ready);
      const then = sessions.length;
      await eventually(() => sessions.length > then + 10, "the second renews its leases");
      assert.ok(second.worker.ready);
      assert.is(owned(second).length, PARTITIONS);
      const secondSession = sessions.at(-1)!;
      assert.equal([...new Set(sessions)].indexOf(secondSession), 1, "it is the second's session");
      assert.equal(new Set(sessions.slice(sessions.indexOf(secondSession))), new Set([secondSession]));
      await first[Symbol.asyncDispose]();
    }
    await eventually(() => sessions.at(-1) === "deleted", "the second has left");
    assert.is(sessions.filter((session) => session === "deleted").length, 1, "and only the second");
    watch.stop();
    await watching;
  },
);

ownership(
  "of two processes that start at once on one data directory, one serves, and a refused one says why",
  async () => {
    for (let round = 0; round < 5; round++) {
      await using bus = await startBus();
      const begun = await Promise.allSettled([startWorker(bus, "shared"), startWorker(bus, "shared")]);
      const running = begun.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
      for (const start of begun) if (start.status === "rejected") assert.is(start.reason.code, "BUS_MISMATCH");
      await eventually(() => running.filter(({ worker }) => worker.ready).length === 1, "one of them serves");
      const serving = running.find(({ worker }) => worker.ready)!;
      await eventually(() => owned(serving).length === PARTITIONS, "it owns all partitions");
      for (const worker of running) await worker[Symbol.asyncDispose]();
    }
  },
);

// E18
ownership("a partition that fails on one worker is served by another", async () => {
  await using bus = await startBus();
  await using _ingress = await startIngress(bus);
  {
    await using first = await startWorker(bus, "first");
    for (const room of ROOMS) await bus.sent("event", room, message(`$${room}`));
    await eventually(() => owned(first).length === PARTITIONS, "all are live");
  }
  await using other = await startBus();
  await rejects(
    (async () => {
      await using _ = await startWorker({ ...other, dir: bus.dir }, "first");
    })(),
    "LOG_BROKEN",
  );
  await using second = await startWorker({ ...other, dir: bus.dir }, "second");
  assert.is(owned(second).length, PARTITIONS);
});

ownership(
  "a worker with a newer fold gets all partitions, and an older one then neither owns nor stands by",
  async () => {
    await using bus = await startBus();
    await using older = await startWorker(bus, "older");
    await using newer = await startWorker(bus, "newer", LEASE_TIMES, FOLD_VERSION + 1);
    // Those that rendezvous hashing gives it. Of the others, the older worker stays the owner.
    await eventually(
      () => owned(newer).length > 0 && owned(newer).length + owned(older).length === PARTITIONS,
      "shares",
    );
    await older[Symbol.asyncDispose]();
    await eventually(() => owned(newer).length === PARTITIONS, "the newer one owns all");
    await using again = await startWorker(bus, "older");
    assert.equal(states(again), ["none", "none", "none", "none"]);
    assert.ok(again.worker.ready);
  },
);

ownership.run();
