/** What is wrong with a worker's partitions: in its log once, and in its heartbeat for as long as it lasts. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import { Bucket } from "../../src/bus/client/kv.ts";
import { encodeRow, parseRow, partitionKey, workerKey } from "../../src/bus/contract/lease-rows.ts";
import { LEASES_BUCKET } from "../../src/bus/contract/subjects.ts";
import { prepareBus } from "../../src/bus/streams.ts";
import { Conditions, type Reason } from "../../src/conditions.ts";
import { Ingress } from "../../src/ingress/ingress.ts";
import { Worker } from "../../src/worker/worker.ts";
import { type BusHarness, eventually, message, startBus } from "../support/harness.ts";
import { logged } from "../support/logged.ts";

const ROOM = "!wrong:a.org";

async function startWorker({ nc, dir }: Pick<BusHarness, "nc" | "dir">) {
  const { log, lines } = logged();
  const conditions = new Conditions({ log, patience: 0.001 });
  const partitions = await prepareBus(nc, { partitions: 1 });
  const worker = await Worker.start({ nc, partitions, data: dir, conditions, log, keepMs: 100 });
  const ingress = new Ingress({ nc, partitions, log });
  const bucket = new Bucket(nc, LEASES_BUCKET);
  const reported = async () => {
    const row = parseRow((await bucket.row(workerKey(worker.id)))!);
    return row?.kind === "worker" ? (row.content?.degraded ?? []).map(({ reason }) => reason) : [];
  };
  return {
    said: (reason: Reason) => lines.filter(({ condition }) => condition === reason).length,
    /** Resolves once the worker has this condition and says so, or has it no more. */
    has: (reason: Reason, isThere: boolean) =>
      eventually(async () => (await reported()).includes(reason) === isThere, `${reason}: ${isThere}`),
    [Symbol.asyncDispose]: async () => {
      await ingress.drain();
      await worker.drain();
    },
  };
}

const wrong = suite("conditions of a worker");

wrong("a delta stream that acknowledges nothing", async () => {
  await using bus = await startBus();
  await using worker = await startWorker(bus);
  const stream = "TIDEMARK_DELTAS_0";
  const { config } = await bus.jsm.streams.info(stream);
  await bus.jsm.streams.update(stream, { ...config, subjects: ["elsewhere"] });
  await bus.sent("event", ROOM, message("$1"));
  await worker.has("deltas_unpublished", true);
  await bus.jsm.streams.update(stream, config);
  await worker.has("deltas_unpublished", false);
  assert.is(worker.said("deltas_unpublished"), 2);
});

wrong("a bucket that takes no published mark", async () => {
  await using bus = await startBus();
  await using worker = await startWorker(bus);
  const stream = "KV_tidemark_published";
  const { config } = await bus.jsm.streams.info(stream);
  await bus.jsm.streams.update(stream, { ...config, subjects: ["elsewhere"] });
  await bus.sent("event", ROOM, message("$1"));
  await worker.has("mark_unwritten", true);
  await bus.jsm.streams.update(stream, config);
  await bus.sent("event", ROOM, message("$2"));
  await worker.has("mark_unwritten", false);
  assert.is(worker.said("mark_unwritten"), 2);
});

wrong("a partition that nobody serves, as its last owner had a newer version", async () => {
  await using bus = await startBus();
  await using worker = await startWorker(bus);
  const bucket = new Bucket(bus.nc, LEASES_BUCKET);
  const fold = FOLD_VERSION + 1;
  // Another worker has it for a moment.
  const lease = encodeRow("lease", { worker: "newer", session: "newer", lineage: "", fold });
  const revision = await bucket.put(partitionKey(0), lease);
  await bucket.deleteAfter(partitionKey(0), revision, encodeRow("release", { published: 0, lineage: "", fold }));
  for (const reason of ["newer_version_needed", "partition_unserved"] as const) await worker.has(reason, true);
  const newest = (await bucket.row(partitionKey(0)))!.revision;
  await bucket.deleteAfter(partitionKey(0), newest);
  for (const reason of ["newer_version_needed", "partition_unserved"] as const) await worker.has(reason, false);
  assert.is(worker.said("newer_version_needed"), 2);
});

wrong("an owner that can't read its log, though entries come in", async () => {
  await using bus = await startBus();
  const broker = consumersRefused(bus);
  await using worker = await startWorker({ ...bus, nc: broker.nc });
  await bus.sent("event", ROOM, message("$1"));
  await eventually(async () => (await bus.query(ROOM, { op: "orders", event_ids: ["$1"] })).orders.$1, "it reads");
  broker.refuse(true);
  for await (const { name } of bus.jsm.consumers.list("TIDEMARK_LOG_0")) {
    await bus.jsm.consumers.delete("TIDEMARK_LOG_0", name);
  }
  await bus.sent("event", ROOM, message("$2"));
  await worker.has("log_unread", true);
  broker.refuse(false);
  await worker.has("log_unread", false);
  assert.is(worker.said("log_unread"), 2);
});

/** A connection that makes no consumers while it is told so. */
function consumersRefused({ nc, jsm }: BusHarness) {
  let isRefused = false;
  const consumers = Object.create(jsm.consumers, {
    add: {
      value: (...args: Parameters<typeof jsm.consumers.add>) =>
        isRefused ? Promise.reject(new Error("no consumer is made")) : jsm.consumers.add(...args),
    },
  });
  const manager = Object.create(jsm, { consumers: { value: consumers } });
  const jetstreamManager: typeof nc.jetstreamManager = async (options) =>
    options?.apiPrefix === undefined ? manager : nc.jetstreamManager(options);
  const refusing: BusHarness["nc"] = Object.create(nc, { jetstreamManager: { value: jetstreamManager } });
  return {
    nc: refusing,
    refuse: (refused: boolean) => {
      isRefused = refused;
    },
  };
}

wrong.run();
