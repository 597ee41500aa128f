/** Leases: the heartbeats of a worker, and what happens when another process takes over its id. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Bus } from "../../../src/bus/client/connection.ts";
import { LEASES_BUCKET } from "../../../src/bus/contract/subjects.ts";
import { LEASE_TIMES, Leases } from "../../../src/bus/leases/leases.ts";
import { type Body, type BusHarness, eventually, startBus } from "../../support/harness.ts";

const HEARTBEAT = { v: 1, fold: 1, warm: [], failed: [], folded: {}, records: 2 };
const LATER = JSON.stringify({ ...HEARTBEAT, session: "later" });

const bucketOf = (bus: BusHarness) => bus.nc.jetstream().views.kv(LEASES_BUCKET, { history: 1 });
const heartbeatOf = (worker: string) => `$KV.${LEASES_BUCKET}.worker.${worker}`;

/** The leases of a process, and how often it learned of another process with its worker id. */
async function openLeases(nc: Bus, worker: string, fold = 1) {
  let superseded = 0;
  const leases = await Leases.open({
    nc,
    worker,
    session: "first",
    fold,
    times: LEASE_TIMES,
    report: () => HEARTBEAT,
    changed: () => {},
    lost: () => {},
    stamped: () => {},
    superseded: () => {
      superseded++;
    },
  });
  return { leases, superseded: () => superseded, [Symbol.dispose]: () => leases.close() };
}

/** A connection on which the heartbeat of another process follows the first published one. */
function overtaken(nc: Bus, worker: string): Bus {
  const js = nc.jetstream();
  let follows = true;
  const publish: typeof js.publish = async (...message) => {
    const acknowledged = await js.publish(...message);
    if (follows) await js.publish(heartbeatOf(worker), LATER);
    follows = false;
    return acknowledged;
  };
  return Object.create(nc, { jetstream: { value: () => Object.create(js, { publish: { value: publish } }) } });
}

const leases = suite("leases");

leases("a heartbeat in flight does not replace that of a later process with the same id", async () => {
  await using bus = await startBus();
  const bucket = await bucketOf(bus);
  for (let round = 0; round < 10; round++) {
    const worker = `worker-${round}`;
    using first = await openLeases(bus.nc, worker);
    assert.is(await first.leases.claim(round, () => ""), 0);
    const later = bus.nc.jetstream().publish(heartbeatOf(worker), LATER);
    first.leases.beat();
    await later;
    await eventually(() => first.superseded() === 1, "it learns of the later one");
    assert.not.ok(first.leases.owns(round), "it owns nothing any more");
    first.leases.beat();
    await first.leases.leave();
    const left = (await bucket.get(`worker.${worker}`))!;
    assert.is(left.operation, "PUT");
    assert.is(left.json<Body>().session, "later");
  }
});

leases("a process that is superseded before it has read the bucket learns of it", async () => {
  await using bus = await startBus();
  const bucket = await bucketOf(bus);
  using first = await openLeases(overtaken(bus.nc, "worker"), "worker");
  assert.is(first.superseded(), 1);
  assert.is(await first.leases.claim(0, () => ""), undefined, "and claims nothing");
  await first.leases.leave();
  assert.is((await bucket.get("worker.worker"))!.json<Body>().session, "later");
});

leases("a worker with an older fold never claims a partition, owned or given up, and another may", async () => {
  await using bus = await startBus();
  await bucketOf(bus);
  using newer = await openLeases(bus.nc, "newer", 3);
  assert.is(await newer.leases.claim(0, () => ""), 0);
  await newer.leases.release(0, 2_047);
  for (const [fold, published] of [
    [2, undefined],
    [3, 2_047],
  ] as const) {
    using other = await openLeases(bus.nc, `fold-${fold}`, fold);
    assert.is(other.leases.foldVersion(0), 3);
    assert.is(await other.leases.claim(0, () => ""), published, `fold ${fold}`);
    await other.leases.release(0, 2_047);
  }
  await (await bucketOf(bus)).delete("partition.0");
  using older = await openLeases(bus.nc, "older", 2);
  assert.is(await older.leases.claim(0, () => ""), 0, "the row was deleted by hand");
});

leases("what an owner left counts for its own lineage alone", async () => {
  await using bus = await startBus();
  await bucketOf(bus);
  using first = await openLeases(bus.nc, "first");
  await first.leases.claim(0, () => "one");
  await first.leases.release(0, 5_000);
  using second = await openLeases(bus.nc, "second");
  assert.is(await second.leases.claim(0, () => "other"), 0);
  await second.leases.release(0, 6_000);
  await eventually(async () => (await first.leases.claim(0, () => "other")) === 6_000, "the first has learned of it");
});

leases("rows that somebody else has written into the bucket keep nobody from owning a partition", async () => {
  await using bus = await startBus();
  const bucket = await bucketOf(bus);
  const junk = [
    "",
    "{",
    "null",
    "3",
    '{"v":1}',
    '{"v":1,"worker":7,"session":"s"}',
    '{"stream":"TIDEMARK_FEDERATION"}',
  ];
  for (const text of junk) {
    await bucket.put("partition.0", text);
    await bucket.put("worker.x", text);
    await bucket.put("partition.x", text);
    await bucket.put("else", text);
    using opened = await openLeases(bus.nc, `worker-${junk.indexOf(text)}`);
    assert.is(opened.leases.workers().has("x"), false);
    assert.is(await opened.leases.claim(0, () => ""), 0, text);
    await opened.leases.release(0, 0);
  }
});

leases.run();
