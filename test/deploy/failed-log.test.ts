/** Logs that can't be read on a cluster or are gone, and what docs/operations.md tells a person to do about them. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Role } from "../../src/start.ts";
import { CLUSTER_LIMIT_MS, decoded, eventually, message, pack, startBus, startOn, token } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, startRole } from "../support/operated-cluster.ts";
import { backUpStream, restoreStream } from "../support/stream-backup.ts";

/** By partition, of two. */
const ROOMS = ["!r1:a.org", "!r0:a.org"] as const;
const LOG = "TIDEMARK_LOG_0";

const logs = suite("a log that fails");

// E26
logs("without a leader leaves the other partitions served, also when every process starts again", async () => {
  await using cluster = await startNatsCluster();
  await using admin = await connectAs(cluster, "admin");
  const jsm = await admin.nc.jetstreamManager();
  const roles: readonly Role[] = ["worker", "ingress"];
  const running: AsyncDisposable[] = [];
  for (const role of roles) running.push(await startRole(cluster, role, { partitions: 2 }));
  for (const each of running.splice(0).reverse()) await each[Symbol.asyncDispose]();
  const { config } = await jsm.streams.info(LOG);
  await jsm.streams.update(LOG, { ...config, num_replicas: 1 });
  let leader: string | undefined;
  const hasOneReplica = async () => {
    const { cluster: at } = await jsm.streams.info(LOG);
    leader = at?.leader;
    return leader !== undefined && (at?.replicas ?? []).length === 0;
  };
  await eventually(hasOneReplica, "it has one replica", CLUSTER_LIMIT_MS);
  const holder = cluster.servers.find(({ name }) => name === leader)!;
  holder.kill("SIGKILL");
  await holder.ended();
  await cluster.ready();

  for (const role of roles) running.push(await startRole(cluster, role, { partitions: 2 }));
  const sent = async (room: string, body: unknown) => {
    const reply = await admin.nc.request(`tidemark.in.event.${token(room)}`, pack(body), { timeout: CLUSTER_LIMIT_MS });
    return decoded(reply.data);
  };
  await eventually(async () => (await sent(ROOMS[1], message("$1"))).ok, "the healthy log takes it", CLUSTER_LIMIT_MS);
  const orders = async () => {
    const question = pack({ op: "orders", event_ids: ["$1"] });
    const reply = await admin.nc.request(`tidemark.query.${token(ROOMS[1])}`, question, { timeout: CLUSTER_LIMIT_MS });
    return decoded(reply.data).orders?.$1;
  };
  await eventually(async () => typeof (await orders()) === "number", "it is folded, and served", CLUSTER_LIMIT_MS);

  await holder.start();
  await eventually(
    async () => (await sent(ROOMS[0], message("$1"))).ok,
    "its log takes entries again",
    CLUSTER_LIMIT_MS,
  );
  for (const each of running.reverse()) await each[Symbol.asyncDispose]();
});

// E24
logs("is gone: it is restored beside the others, as the handbook says", async () => {
  await using bus = await startBus();
  const ordersOf = async (room: string) => {
    const { orders } = await bus.query(room, { op: "orders", event_ids: ["$1", "$2", "$3"] });
    return orders;
  };
  let before: readonly unknown[];
  let backup: Awaited<ReturnType<typeof backUpStream>>;
  {
    await using _first = await startOn(bus);
    for (const room of ROOMS) await bus.sent("event", room, [message("$1"), message("$2")]);
    backup = await backUpStream(bus.nc, LOG);
    before = await Promise.all(ROOMS.map(ordersOf));
    await bus.jsm.streams.delete(LOG);
  }
  {
    await using _again = await startOn(bus);
    await bus.sent("event", ROOMS[1], message("$3"));
    assert.is((await bus.query(ROOMS[0], { op: "orders", event_ids: ["$1"] })).errcode, "M_UNKNOWN");
  }
  await restoreStream(bus.nc, backup);
  await rm(join(bus.dir, "state", "0"), { recursive: true });
  await using _restored = await startOn(bus);
  assert.equal(await ordersOf(ROOMS[0]), before[0]);
  const healthy = await ordersOf(ROOMS[1]);
  assert.equal({ ...healthy, $3: null }, before[1]);
  assert.ok(healthy.$3 > healthy.$2);
  const deltas = bus.subscribe("tidemark.client.0.>");
  await bus.sent("event", ROOMS[0], message("$4"));
  await deltas.next((body) => body.events?.[0]?.event_id === "$4");
});

logs.run();
