/** The roles apart, each with the user that `nats.conf` has for it, on a cluster of three. */
import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Role, start, type Tidemark } from "../../src/start.ts";
import { decoded, eventually, LIMIT_MS, message, pack, receipt } from "../support/harness.ts";
import { type NatsCluster, startNatsCluster, type User } from "../support/nats-cluster.ts";

const ROOM = "!room:a";
const MISSING = 404;

async function startRole(
  cluster: NatsCluster,
  role: Role,
  options: { partitions?: number } = {},
): Promise<Tidemark & AsyncDisposable> {
  const tidemark = await start({
    nats: cluster.url(role as User),
    data: join(cluster.dir, role),
    http: { host: "127.0.0.1", port: 0 },
    roles: new Set([role]),
    log: pino({ level: "silent" }),
    ...options,
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

async function connectAs(cluster: NatsCluster, user: User) {
  const nc = await cluster.connect(user);
  return { nc, [Symbol.asyncDispose]: () => nc.close() };
}

const roles = suite("roles");

roles("a cluster takes, keeps three times, folds and publishes, each role with its own user", async () => {
  await using cluster = await startNatsCluster();
  // Ingress waits for the worker that makes the logs.
  const starting = startRole(cluster, "ingress");
  await using _worker = await startRole(cluster, "worker", { partitions: 2 });
  await using _ingress = await starting;
  await using homeserver = await connectAs(cluster, "homeserver");
  await using frontend = await connectAs(cluster, "frontend");
  const subjects: string[] = [];
  frontend.nc.subscribe("tidemark.client.>", { callback: (_, { subject }) => subjects.push(subject) });
  await frontend.nc.flush();
  const ask = async (subject: string, body: unknown, { nc } = frontend) =>
    decoded((await nc.request(subject, pack(body), { timeout: LIMIT_MS })).data);

  assert.is((await ask(`tidemark.in.event.${ROOM}`, message("$1"), homeserver)).ok, true);
  assert.is((await ask(`tidemark.in.receipt.${ROOM}`, receipt("@a:a", "$1"))).ok, true);
  await eventually(() => subjects.length === 2, "both deltas are here");
  assert.equal(
    subjects.map((subject) => subject.slice(subject.lastIndexOf(".") + 1)),
    ["events", "receipts"],
  );
  const snapshot = await ask(`tidemark.query.${ROOM}`, { op: "snapshot" });
  assert.equal(Object.keys(snapshot.receipts), ["$1"]);

  await using admin = await connectAs(cluster, "admin");
  const jsm = await admin.nc.jetstreamManager();
  const streams = await jsm.streams.list().next();
  assert.is(streams.length, 2 * 2 + 2 + 2, "logs, deltas, federation, rejections, buckets");
  for (const { config } of streams) assert.is(config.num_replicas, 3, config.name);
});

roles("no request gets a process to publish where its sender may not", async () => {
  await using cluster = await startNatsCluster();
  await using _worker = await startRole(cluster, "worker", { partitions: 1 });
  await using _ingress = await startRole(cluster, "ingress");
  await using homeserver = await connectAs(cluster, "homeserver");
  await using frontend = await connectAs(cluster, "frontend");
  // The replies of ingress and worker, had they gone there, would be records that no version can read.
  homeserver.nc.publish(`tidemark.in.event.${ROOM}`, pack(message("$1")), { reply: `tidemark.log.0.${ROOM}` });
  frontend.nc.publish(`tidemark.query.${ROOM}`, pack({ op: "unread", user_id: "@a:a" }), {
    reply: `tidemark.client.0.${ROOM}.receipts`,
  });
  await Promise.all([homeserver.nc.flush(), frontend.nc.flush()]);
  const [position] = decoded(
    (await homeserver.nc.request(`tidemark.in.event.${ROOM}`, pack(message("$2")), { timeout: LIMIT_MS })).data,
  ).positions;
  const isFolded = async () => {
    const asked = await frontend.nc.request(`tidemark.query.${ROOM}`, pack({ op: "orders", event_ids: ["$1"] }));
    return decoded(asked.data).orders.$1 === 1024;
  };
  await eventually(isFolded, "the event without an answer is folded");
  await using admin = await connectAs(cluster, "admin");
  const { streams } = await admin.nc.jetstreamManager();
  const { state: log } = await streams.info("TIDEMARK_LOG_0");
  assert.is(log.last_seq, Math.floor(position / 1024), "the log has the two events and nothing else");
  const { state } = await streams.info("TIDEMARK_DELTAS_0", { subjects_filter: ">" });
  assert.is(state.subjects?.[`tidemark.client.0.${ROOM}.receipts`], undefined);
});

roles("a gateway alone serves health, and nothing of the other roles", async () => {
  await using cluster = await startNatsCluster();
  await using _worker = await startRole(cluster, "worker", { partitions: 1 });
  await using gateway = await startRole(cluster, "gateway");
  assert.is((await fetch(`${gateway.httpUrl}/readyz`)).status, 200);
  assert.is((await fetch(`${gateway.httpUrl}/nothing`)).status, MISSING);
});

roles.run();
