/** The roles in processes of their own, each as its own user of `nats.conf`, on a cluster of three brokers. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { pushReports } from "../../src/bus/push-reports.ts";
import { openFederation } from "../../src/federation-sender/index.ts";
import { serverName } from "../../src/matrix/ids.ts";
import { startHomeserver } from "../support/fake-homeserver.ts";
import { linesOf, member } from "../support/federation.ts";
import { type Body, decoded, eventually, LIMIT_MS, message, pack, receipt } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, startRole } from "../support/operated-cluster.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOM = "!room:a";

const roles = suite("roles");

roles("a cluster accepts, replicates, folds and publishes entries, with each role as its own user", async () => {
  await using cluster = await startNatsCluster();
  // Ingress waits for a worker to create the logs.
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
  await eventually(() => subjects.length === 2, "both deltas arrived");
  assert.equal(
    subjects.map((subject) => subject.slice(subject.lastIndexOf(".") + 1)),
    ["events", "receipts"],
  );
  const snapshot = await ask(`tidemark.query.${ROOM}`, { op: "snapshot" });
  assert.equal(Object.keys(snapshot.receipts), ["$1"]);
  const receipts = { "m.read": { "@b:b": { event_ids: ["$1"], data: {} } } };
  const edu = await ask("tidemark.in.edu.b", { [ROOM]: receipts, "!unknown:b": receipts }, homeserver);
  assert.equal([edu.accepted, edu.rejected[0].reason], [1, "room_id: is not known here"]);

  await using admin = await connectAs(cluster, "admin");
  const jsm = await admin.nc.jetstreamManager();
  const streams = await jsm.streams.list().next();
  assert.is(streams.length, 2 * 2 + 4 + 1 + 7, "logs, deltas, federation, rejections, buckets");
  for (const { config } of streams) assert.is(config.num_replicas, 3, config.name);
});

roles("a gateway accepts what a homeserver pushes, and serves clients", async () => {
  await using cluster = await startNatsCluster();
  await using _worker = await startRole(cluster, "worker", { partitions: 2 });
  await using _ingress = await startRole(cluster, "ingress");
  const users = join(cluster.dir, "users.json");
  await writeFile(users, JSON.stringify({ token: { user_id: "@me:a", device_id: "A" } }));
  await using gateway = await startRole(cluster, "gateway", {
    users,
    registration: REGISTRATION,
    federation: { serverNames: [serverName.parse("a")] },
  });
  const events = [member("@me:a"), message("$1", { sender: "@you:a" })].map((event) => ({ ...event, room_id: ROOM }));
  assert.is((await push(gateway, 1, { events })).status, 200);
  await using admin = await connectAs(cluster, "admin");
  const lastOf = async (stream: string) =>
    (await (await admin.nc.jetstreamManager()).streams.info(stream)).state.last_seq;
  const logged = async () => (await lastOf("TIDEMARK_LOG_0")) + (await lastOf("TIDEMARK_LOG_1"));
  const before = await logged();
  assert.is((await push(gateway, 1, { events })).status, 200);
  assert.is(await logged(), before, "a repeated transaction is not stored again");

  const client = `${gateway.httpUrl}/_matrix/client/v3`;
  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(client + path, { ...init, headers: { authorization: "Bearer token" } });
    return { status: answer.status, body: decoded(new Uint8Array(await answer.arrayBuffer())) };
  };
  const first = await ask("/sync");
  assert.equal(Object.keys(first.body.rooms.join), [ROOM]);
  const receiptPath = `/rooms/${encodeURIComponent(ROOM)}/receipt/m.read/%241`;
  assert.is((await ask(receiptPath, { method: "POST", body: "{}" })).status, 200);
  let since = first.body.next_batch;
  const isRead = async () => {
    // The events may come once more before.
    const { body } = await ask(`/sync?timeout=1000&since=${since}`);
    since = body.next_batch;
    return body.rooms?.join?.[ROOM]?.ephemeral?.events[0]?.content.$1 !== undefined;
  };
  await eventually(isRead, "the receipt arrives");
});

roles("a proxy puts orders into what a homeserver answers, tells of receipts, and imports rooms", async () => {
  await using cluster = await startNatsCluster();
  await using _worker = await startRole(cluster, "worker", { partitions: 2 });
  await using _ingress = await startRole(cluster, "ingress");
  const events = [
    { ...message("$0", { sender: "@me:a" }), type: "m.room.create", state_key: "", content: {} },
    member("@me:a"),
    message("$1", { sender: "@me:a" }),
    message("$2", { sender: "@me:a" }),
  ].map((event) => ({ ...event, room_id: ROOM }));
  await using homeserver = await startHomeserver({
    room: ROOM,
    token: REGISTRATION.asToken,
    events,
    state: events.slice(0, 2),
  });
  homeserver.onRequest = (path, query) => {
    if (path.includes("/receipt/")) return { status: 200, body: {} };
    if (path.endsWith("/whoami")) return { status: 200, body: { user_id: "@me:a", device_id: "A" } };
    if (!path.endsWith("/sync")) return undefined;
    const timeline = { events };
    const join = query.get("user_id") === null ? { [ROOM]: { timeline } } : {};
    return { status: 200, body: { next_batch: "s", rooms: { join } } };
  };
  await using proxy = await startRole(cluster, "proxy", {
    homeserver: homeserver.url,
    registration: REGISTRATION,
    federation: { serverNames: [serverName.parse("a")] },
  });
  assert.is((await push(proxy, 1, { events: events.slice(3) })).status, 200);

  const client = `${proxy.httpUrl}/_matrix/client/v3`;
  const headers = { authorization: "Bearer token" };
  await eventually(async () => {
    const body: Body = await (await fetch(`${client}/sync`, { headers })).json();
    const orders = body.rooms.join[ROOM].timeline.events.map(({ unsigned }: Body) => unsigned?.order);
    return orders.every((order: unknown, i: number) => typeof order === "number" && (i === 0 || order > orders[i - 1]));
  }, "the room is imported, and every event of the answer has its order");
  const path = `${client}/rooms/${encodeURIComponent(ROOM)}/receipt/m.read/%242`;
  assert.is((await fetch(path, { method: "POST", headers, body: "{}" })).status, 200);
  await using frontend = await connectAs(cluster, "frontend");
  await eventually(async () => {
    const question = pack({ op: "snapshot" });
    const { data } = await frontend.nc.request(`tidemark.query.${ROOM}`, question, { timeout: LIMIT_MS });
    return Object.keys(decoded(data).receipts).includes("$2");
  }, "the receipt is a marker");
  await using admin = await connectAs(cluster, "admin");
  const [report] = await pushReports(admin.nc);
  assert.equal([report?.id, report?.stalledAt], [REGISTRATION.id, null]);
});

roles("a federation sender reads the receipts for a server, and continues after what was acknowledged", async () => {
  await using cluster = await startNatsCluster();
  // It may start before the worker that makes its streams.
  const opening = openFederation({ nats: cluster.url("federation") });
  await using _worker = await startRole(cluster, "worker", {
    partitions: 1,
    federation: { serverNames: [serverName.parse("a")], windowMs: 0 },
  });
  await using _ingress = await startRole(cluster, "ingress");
  await using homeserver = await connectAs(cluster, "homeserver");
  await using frontend = await connectAs(cluster, "frontend");
  const ask = async ({ nc }: typeof frontend, subject: string, body: unknown) =>
    decoded((await nc.request(subject, pack(body), { timeout: LIMIT_MS })).data).ok;
  assert.ok(await ask(homeserver, `tidemark.in.state.${ROOM}`, [member("@me:a"), member("@you:b")]));
  assert.ok(await ask(homeserver, `tidemark.in.event.${ROOM}`, [message("$1"), message("$2")]));
  await using federation = await opening;
  const destination = await federation.destination("b");
  assert.ok(await ask(frontend, `tidemark.in.receipt.${ROOM}`, receipt("@me:a", "$1")));
  const first = await destination.next();
  assert.equal(linesOf(first!.edus), [`${ROOM} @me:a - → $1`]);
  await first!.acknowledge();
  assert.is((await federation.destinations().next()).value, "b");

  await using another = await openFederation({ nats: cluster.url("federation") });
  const resumed = await another.destination("b");
  assert.ok(await ask(frontend, `tidemark.in.receipt.${ROOM}`, receipt("@me:a", "$2")));
  assert.equal(linesOf((await resumed.next())!.edus), [`${ROOM} @me:a - → $2`]);
});

roles.run();
