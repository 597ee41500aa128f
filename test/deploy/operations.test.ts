/** What docs/operations.md tells a person to do with a cluster, done. */
import type { NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Body, CLUSTER_LIMIT_MS, eventually, LIMIT_MS } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, fill, looks, startProcess } from "../support/operated-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const operations = suite("operations");

operations("a server joins, takes a replica over, and one that is gone for good is forgotten", async () => {
  using dir = temporaryDirectory();
  await using cluster = await startNatsCluster();
  await using running = startProcess(cluster, dir.path);
  await running.ready;
  await using admin = await connectAs(cluster, "admin");
  await using system = await connectAs(cluster, "system");
  await fill(admin.nc);
  const before = await looks(admin.nc);
  const jsm = await admin.nc.jetstreamManager();
  /** Whether a stream has three replicas, all of them up to date, none of them there. */
  const isMovedFrom = async (server: string, stream: string) => {
    const { cluster: at } = await jsm.streams.info(stream);
    const replicas = at?.replicas ?? [];
    const names = [at?.leader, ...replicas.map(({ name }) => name)];
    return names.length === 3 && !names.includes(server) && replicas.every(({ current }) => current);
  };
  const api = async (nc: NatsConnection, subject: string, body: unknown) =>
    (await nc.request(subject, JSON.stringify(body), { timeout: LIMIT_MS })).json<{ success?: boolean }>().success;

  await cluster.addServer();
  // `nats server report jetstream`
  const metaPeers = async () => {
    const names: string[] = [];
    for await (const reply of await system.nc.requestMany("$SYS.REQ.SERVER.PING.JSZ", "", { maxWait: 2_000 })) {
      const { meta_cluster: meta } = reply.json<{ data: Body }>().data;
      for (const { name, current } of meta.replicas ?? []) if (current) names.push(name);
    }
    return names;
  };
  await eventually(async () => (await metaPeers()).includes("nats-4"), "the new server takes part", CLUSTER_LIMIT_MS);
  // `nats stream cluster peer-remove TIDEMARK_LOG_0 nats-1`, once the new server is known.
  assert.ok(await api(admin.nc, "$JS.API.STREAM.PEER.REMOVE.TIDEMARK_LOG_0", { peer: "nats-1" }));
  await eventually(() => isMovedFrom("nats-1", "TIDEMARK_LOG_0").catch(() => false), "it has moved", CLUSTER_LIMIT_MS);

  const gone = cluster.servers[0]!;
  gone.kill("SIGKILL");
  await gone.ended();
  // `nats server cluster peer-remove nats-1`
  await eventually(
    () => api(system.nc, "$JS.API.SERVER.REMOVE", { peer: gone.name }).catch(() => false),
    "the server is removed",
    CLUSTER_LIMIT_MS,
  );
  for (const stream of ["TIDEMARK_LOG_0", "TIDEMARK_LOG_1", "TIDEMARK_DELTAS_0", "KV_tidemark_leases"]) {
    await eventually(
      () => isMovedFrom(gone.name, stream).catch(() => false),
      `${stream} has three replicas again`,
      CLUSTER_LIMIT_MS,
    );
  }
  // A worker that lost a lease while the cluster elected leaders claims it again.
  let answer: unknown;
  const isServed = async () => {
    answer = await looks(admin.nc).catch((error: unknown) => error);
    return !(answer instanceof Error);
  };
  await eventually(isServed, "every partition is served", CLUSTER_LIMIT_MS).catch((cause: unknown) => {
    throw new Error(`${cause}\nthe last answer: ${answer}\nthe process wrote:\n${running.stderr.join("\n")}`);
  });
  assert.equal(await looks(admin.nc), before);
});

operations.run();
