/** What docs/operations.md tells a person to do with a cluster, done. */
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import {
  type Body,
  CLUSTER_LIMIT_MS,
  decoded,
  eventually,
  LIMIT_MS,
  message,
  pack,
  receipt,
  token,
} from "../support/harness.ts";
import { type NatsCluster, startNatsCluster, type User } from "../support/nats-cluster.ts";
import { backUpStream, restoreStream, type StreamBackup } from "../support/stream-backup.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOMS = ["!one:a.org", "!two:a.org", "!three:a.org"];
const PARTITIONS = 2;

function startProcess(cluster: NatsCluster, dir: string): CliProcess {
  return runCli(
    ["start", "--nats", cluster.url("admin"), "--data", dir, "--partitions", `${PARTITIONS}`],
    {},
    { limitMs: 170_000 },
  );
}

async function connectAs(cluster: NatsCluster, user: User) {
  const nc = await cluster.connect(user);
  return { nc, [Symbol.asyncDispose]: () => nc.close() };
}

async function ask(nc: NatsConnection, subject: string, body: unknown): Promise<Body> {
  const reply = decoded((await nc.request(subject, pack(body), { timeout: LIMIT_MS })).data);
  assert.is(reply.ok, true, JSON.stringify(reply));
  return reply;
}

async function fill(nc: NatsConnection): Promise<void> {
  for (const room of ROOMS) {
    await ask(nc, `tidemark.in.event.${token(room)}`, [message(`$1${room}`), message(`$2${room}`)]);
    await ask(nc, `tidemark.in.receipt.${token(room)}`, receipt("@a:a.org", `$2${room}`));
  }
}

/** What each room looks like; the times of bodies left alone. */
const looks = (nc: NatsConnection) =>
  Promise.all(ROOMS.map((room) => ask(nc, `tidemark.query.${token(room)}`, { op: "snapshot" })));

async function tidemark(...args: string[]): Promise<void> {
  await using run = runCli(args);
  assert.is(await run.ended, 0, run.stderr.join("\n"));
}

const operations = suite("operations");

operations(
  "a backup, of streams or of the log as a file, restores every order and marker on an empty cluster",
  async () => {
    using dir = temporaryDirectory();
    const file = join(dir.path, "log");
    const backups: StreamBackup[] = [];
    let before: Body;
    {
      await using cluster = await startNatsCluster();
      await using running = startProcess(cluster, join(dir.path, "data"));
      await running.ready;
      await using admin = await connectAs(cluster, "admin");
      await fill(admin.nc);
      before = await looks(admin.nc);
      // While it runs.
      for (const stream of ["KV_tidemark", "TIDEMARK_LOG_0", "TIDEMARK_LOG_1"]) {
        backups.push(await backUpStream(admin.nc, stream));
      }
      await tidemark("export", "--all", "--out", file, "--nats", cluster.url("admin"));
    }
    const restored = async (way: string, restore: (cluster: NatsCluster, admin: NatsConnection) => Promise<void>) => {
      await using cluster = await startNatsCluster();
      await using admin = await connectAs(cluster, "admin");
      await restore(cluster, admin.nc);
      const { config } = await (await admin.nc.jetstreamManager()).streams.info("TIDEMARK_LOG_0");
      assert.is(config.num_replicas, 3, way);
      // Without the state of before.
      await using running = startProcess(cluster, join(dir.path, `data of ${way}`));
      await running.ready;
      assert.equal(await looks(admin.nc), before, way);
    };
    await restored("streams", async (_, admin) => {
      for (const backup of backups) await restoreStream(admin, backup);
    });
    await restored("export", (cluster) => tidemark("import", file, "--nats", cluster.url("admin")));
  },
);

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
    for await (const reply of await system.nc.requestMany("$SYS.REQ.SERVER.PING.JSZ", "", { maxWait: 500 })) {
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
  // Who lost the lease of a partition while the cluster was busy with itself has it again after a while.
  const isServed = () =>
    looks(admin.nc).then(
      () => true,
      () => false,
    );
  await eventually(isServed, "every partition is served", CLUSTER_LIMIT_MS);
  assert.equal(await looks(admin.nc), before);
});

operations.run();
