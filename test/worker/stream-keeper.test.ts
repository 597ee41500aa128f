/** Streams, buckets and rows that are deleted while a worker runs (docs/design.md#what-is-kept). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bucket } from "../../src/bus/client/kv.ts";
import { partitionKey, workerKey } from "../../src/bus/contract/lease-rows.ts";
import { LEASES_BUCKET } from "../../src/bus/contract/subjects.ts";
import { partitionCount } from "../../src/bus/partition-count.ts";
import { prepareBus } from "../../src/bus/streams.ts";
import { Conditions } from "../../src/conditions.ts";
import { Ingress } from "../../src/ingress/ingress.ts";
import { Worker } from "../../src/worker/worker.ts";
import { type BusHarness, eventually, message, receipt, rejects, startBus, startOn } from "../support/harness.ts";
import { logged } from "../support/logged.ts";

const ROOM = "!kept:a.org";
const LOGS = ["TIDEMARK_LOG_0", "TIDEMARK_LOG_1"];
/** Nobody loses a lease here, however slow the machine is. */
const LEASE_TIMES = { renewMs: 500, holdMs: 120_000, ttlMs: 180_000 };

async function startWorker({ nc, dir }: BusHarness) {
  const { log, lines } = logged();
  const conditions = new Conditions({ log });
  const partitions = await prepareBus(nc, { partitions: 2 });
  const options = { nc, partitions, data: dir, conditions, log, leaseTimes: LEASE_TIMES };
  const worker = await Worker.start({ ...options, keepMs: 50, checkpointMs: 50 });
  const ingress = new Ingress({ nc, partitions, log });
  return {
    worker,
    conditions,
    /** What was said of a stream. */
    said: (stream: string) => lines.filter(({ where }) => where === stream).map(({ condition }) => condition),
    [Symbol.asyncDispose]: async () => {
      await ingress.drain();
      await worker.drain();
    },
  };
}

async function streamsOf({ jsm }: BusHarness): Promise<string[]> {
  const names: string[] = [];
  for await (const name of jsm.streams.names()) names.push(name);
  return names.sort();
}

const states = ({ worker }: { readonly worker: Worker }) => [0, 1].map((n) => worker.partitions.get(n)?.state);

const keeper = suite("stream keeper");

// E24
keeper("all that is deleted but the logs is made again, and nothing stops", async () => {
  await using bus = await startBus();
  await using running = await startWorker(bus);
  const deltas = bus.subscribe("tidemark.client.>");
  await bus.sent("event", ROOM, message("$1"));
  const before = await streamsOf(bus);
  const deleted = before.filter((stream) => !LOGS.includes(stream));
  assert.ok(deleted.length > 10);
  const changes = { ...running.worker.counts.leases };
  for (const stream of deleted) await bus.jsm.streams.delete(stream);
  await eventually(async () => (await streamsOf(bus)).length === before.length, "all are made again");
  assert.equal(await streamsOf(bus), before);

  await bus.sent("event", ROOM, message("$2"));
  await bus.sent("receipt", ROOM, receipt("@b:a.org", "$2"));
  await deltas.next((body) => body.event?.content.$2 !== undefined);
  const stored = async () => {
    const infos = await Promise.all([0, 1].map((n) => bus.jsm.streams.info(`TIDEMARK_DELTAS_${n}`)));
    return infos.some(({ state }) => state.messages >= 2);
  };
  await eventually(stored, "the deltas are in the new stream");
  const leases = new Bucket(bus.nc, LEASES_BUCKET);
  for (const key of [partitionKey(0), partitionKey(1), workerKey(running.worker.id)]) {
    await eventually(async () => (await leases.get(key)) !== undefined, `${key} is written again`);
  }
  assert.equal(states(running), ["live", "live"]);
  assert.equal(running.worker.counts.leases, changes, "no lease was lost");
  assert.is(await partitionCount(bus.nc), 2);
  await eventually(() => running.conditions.open().length === 0, "nothing is wrong any more");
  for (const stream of deleted) assert.ok(running.said(stream).length <= 2, stream);
  assert.equal(running.said("TIDEMARK_DELTAS_0"), ["stream_missing", "stream_missing"]);
});

keeper("a lease and a heartbeat whose rows are gone are written again by their owner", async () => {
  await using bus = await startBus();
  await using running = await startWorker(bus);
  const leases = new Bucket(bus.nc, LEASES_BUCKET);
  const changes = { ...running.worker.counts.leases };
  for (const key of [partitionKey(0), workerKey(running.worker.id)]) {
    await bus.jsm.streams.purge(`KV_${LEASES_BUCKET}`, { filter: `$KV.${LEASES_BUCKET}.${key}` });
    await eventually(async () => (await leases.get(key)) !== undefined, `${key} is there again`);
  }
  assert.equal(states(running), ["live", "live"]);
  assert.equal(running.worker.counts.leases, changes);
});

keeper("a lease that was deleted by hand is claimed again", async () => {
  await using bus = await startBus();
  await using running = await startWorker(bus);
  const kv = await bus.nc.jetstream().views.kv(LEASES_BUCKET);
  await kv.delete(partitionKey(0));
  const isClaimedAgain = () => running.worker.counts.leases.lost >= 1 && running.worker.counts.leases.claimed >= 3;
  await eventually(isClaimedAgain, "it is lost, and claimed");
  await eventually(() => running.worker.ready, "it serves again");
  assert.equal(states(running), ["live", "live"]);
});

keeper("a log is never made again, and named for as long as it is gone", async () => {
  await using bus = await startBus();
  const log = LOGS[0]!;
  {
    await using running = await startWorker(bus);
    await bus.jsm.streams.delete(log);
    await eventually(() => running.conditions.has("log_missing"), "the log is missing");
    await bus.jsm.streams.delete("TIDEMARK_REJECTED");
    await eventually(async () => (await streamsOf(bus)).includes("TIDEMARK_REJECTED"), "another round");
    assert.equal(running.said(log), ["log_missing"]);
  }
  await using _again = await startOn(bus);
  assert.not.ok((await streamsOf(bus)).includes(log));
});

// E25
keeper("logs without their count: every start refuses, and makes nothing", async () => {
  await using bus = await startBus();
  {
    await using _first = await startOn(bus);
    await bus.sent("event", ROOM, message("$1"));
  }
  await bus.jsm.streams.delete("KV_tidemark");
  const before = await streamsOf(bus);
  const { message: says } = await rejects(startOn(bus, { partitions: 8 }), "BUS_MISMATCH");
  assert.match(says, /has logs, up to TIDEMARK_LOG_1, and the bucket tidemark doesn't say how many/);
  assert.equal(await streamsOf(bus), before);

  // As docs/operations.md#the-counts-are-gone says.
  const kv = await bus.nc.jetstream().views.kv("tidemark", { history: 1, replicas: 1 });
  for (const [key, value] of [
    ["federation_shards", "4"],
    ["logs", "made"],
    ["partitions", "2"],
  ] as const) {
    await kv.put(key, value);
  }
  await using _again = await startOn(bus);
  const { orders } = await bus.query(ROOM, { op: "orders", event_ids: ["$1"] });
  assert.type(orders.$1, "number");
});

keeper.run();
