/** Attacks on Tidemark's account from all others, on a broker or a cluster with `nats.conf` (`reply-tricks.ts`). */
import { join } from "node:path";
import type { NatsConnection } from "nats";
import * as assert from "uvu/assert";
import { type Api, accountState, managerOf } from "./account-state.ts";
import { assertDoesNoMore, assertVerbsWork, THEIRS } from "./attack-table.ts";
import { type CliProcess, runCli } from "./cli-process.ts";
import { member } from "./federation.ts";
import { type Body, CLUSTER_LIMIT_MS, decoded, eventually, LIMIT_MS, message, pack, receipt } from "./harness.ts";
import type { ClusterServer, NatsCluster, User } from "./nats-cluster.ts";
import { connectAs } from "./operated-cluster.ts";
import { attack, DURABLE, OUTSIDERS, tricks } from "./reply-tricks.ts";

const ROOM = "!room:a";
const DELTAS = "TIDEMARK_DELTAS_0";
/** What goes to the server `e` is there. */
const FEDERATION = "TIDEMARK_FEDERATION_0";
const COUNTS = "KV_tidemark";

/** Of other readers, which nobody may pause or end. */
const THEIR_CONSUMERS: readonly (readonly [api: Api, stream: string])[] = [
  ["$JS.API", "TIDEMARK_LOG_0"],
  ["$JS.API", DELTAS],
  ["EDGE.JS.API", DELTAS],
  ["FEDERATION.JS.API", FEDERATION],
];

/** That the table of attacks has at least. */
const CASES_MIN = 3_000;

interface Attacked {
  readonly cluster: NatsCluster;
  /** Of the processes. */
  readonly env?: NodeJS.ProcessEnv;
  /** Connects as a reader without rights to the API of JetStream, if there is such a user. */
  readonly connectReader?: () => Promise<NatsConnection>;
}

/** A worker and an ingress of one partition, each as its own user. */
export async function startProcesses({ cluster, env = {} }: Attacked): Promise<AsyncDisposable> {
  const run = (role: "worker" | "ingress", ...more: string[]): CliProcess =>
    runCli(["start", "--nats", cluster.url(role), "--data", join(cluster.dir, role), "--roles", role, ...more], env, {
      limitMs: 170_000,
    });
  const worker = run("worker", "--partitions", "1", "--server-name", "a", "--federation-window", "0");
  const ingress = run("ingress");
  await Promise.all([worker.ready, ingress.ready]);
  return {
    [Symbol.asyncDispose]: async () => {
      for (const process of [ingress, worker]) {
        process.kill("SIGTERM");
        assert.is(await process.ended, 0, process.stderr.join("\n"));
      }
    },
  };
}

async function ask(nc: NatsConnection, subject: string, body: unknown): Promise<Body> {
  const reply = decoded((await nc.request(subject, pack(body), { timeout: LIMIT_MS })).data);
  assert.is(reply.ok, true, JSON.stringify(reply));
  return reply;
}

/** Waits until an account's copy of a stream has everything. Returns how many messages that are. */
export async function copied(admin: NatsConnection, stream: string, api: Api): Promise<number> {
  const [own, outside] = await Promise.all([managerOf(admin, "$JS.API"), managerOf(admin, api)]);
  let messages = 0;
  const isCopied = async () => {
    const { state } = await own.streams.info(stream);
    messages = state.messages;
    return messages > 0 && (await outside.streams.info(stream)).state.last_seq === state.last_seq;
  };
  await eventually(isCopied, `${stream} is copied to ${api}`, CLUSTER_LIMIT_MS);
  return messages;
}

/** Without the consumers of each stream, which readers make. */
function contents(account: Awaited<ReturnType<typeof accountState>>, names: readonly string[]): unknown {
  return names.map((name) => ({ ...account[name], consumers: undefined }));
}

/** The consumers of an account. Those of a process that has stopped go once the broker finds them idle. */
async function readersOf(admin: NatsConnection, api: Api): Promise<ReadonlySet<string>> {
  return new Set(Object.values(await accountState(admin, api)).flatMap(({ consumers }) => consumers));
}

/**
 * Lets every outsider try everything while no process of Tidemark runs, so that nothing else writes. Asserts that nothing was
 * written to Tidemark's account or to the copies, that neither a homeserver nor a sender reaches front-ends, and that Tidemark
 * goes on afterwards.
 */
export async function assertKeepsOutsidersOut(attacked: Attacked): Promise<void> {
  const { cluster } = attacked;
  await using admin = await connectAs(cluster, "admin");
  await using homeserver = await connectAs(cluster, "homeserver");
  await using frontend = await connectAs(cluster, "frontend");
  {
    await using _running = await startProcesses(attacked);
    await ask(homeserver.nc, `tidemark.in.state.${ROOM}`, [member("@me:a"), member("@you:e")]);
    await ask(homeserver.nc, `tidemark.in.event.${ROOM}`, message("$1"));
    await ask(frontend.nc, `tidemark.in.receipt.${ROOM}`, receipt("@me:a", "$1"));
    await copied(admin.nc, FEDERATION, "FEDERATION.JS.API");
  }
  await copied(admin.nc, DELTAS, "EDGE.JS.API");
  for (const api of ["EDGE.JS.API", "FEDERATION.JS.API"] as const) await copied(admin.nc, COUNTS, api);
  // As docs/operations.md tells an operator to.
  await (await managerOf(admin.nc, "FEDERATION.JS.API")).consumers.add(FEDERATION, { durable_name: DURABLE });
  for (const [api, stream] of THEIR_CONSUMERS) {
    await (await managerOf(admin.nc, api)).consumers.add(stream, { durable_name: THEIRS });
  }
  const theirs = async () =>
    Promise.all(
      THEIR_CONSUMERS.map(async ([api, stream]) => {
        const { config, paused } = await (await managerOf(admin.nc, api)).consumers.info(stream, THEIRS);
        return { config, paused };
      }),
    );
  await eventually(
    async () => [...(await readersOf(admin.nc, "$JS.API"))].every((name) => [DURABLE, THEIRS].includes(name)),
    "the consumers of the processes that have stopped are gone",
    2 * CLUSTER_LIMIT_MS,
  );
  const look = async () => ({
    theirs: await theirs(),
    own: await accountState(admin.nc, "$JS.API"),
    edge: contents(await accountState(admin.nc, "EDGE.JS.API"), [DELTAS, COUNTS]),
    federation: contents(await accountState(admin.nc, "FEDERATION.JS.API"), [FEDERATION, COUNTS]),
  });
  const before = await look();
  const heard: string[] = [];
  const hear = frontend.nc.subscribe("tidemark.client.>", { callback: (_, { subject }) => heard.push(subject) });
  const hearUsers = frontend.nc.subscribe("tidemark.user.>", { callback: (_, { subject }) => heard.push(subject) });
  await frontend.nc.flush();
  let cases = 0;
  for (const user of OUTSIDERS) {
    if (user === "frontend") {
      assert.equal(heard, [], "neither a homeserver nor a sender is heard where deltas are published");
      hear.unsubscribe();
      hearUsers.unsubscribe();
    }
    // An answer goes no further than the server that was asked.
    for (const server of cluster.servers) {
      const nc = await connectTo(cluster, server, user);
      await attack(nc, user);
      await nc.close();
    }
    assert.equal(await look(), before, user);
    await using attacker = await connectAs(cluster, user);
    cases += await assertDoesNoMore(attacker.nc, user);
    assert.equal(await look(), before, user);
  }
  if (attacked.connectReader !== undefined) {
    const nc = await attacked.connectReader();
    await tricks(nc, [{ subject: `tidemark.query.${ROOM}`, body: pack({ op: "snapshot" }) }]);
    cases += await assertDoesNoMore(nc, "reader");
    await nc.close();
    assert.equal(await look(), before, "a reader");
  }
  assert.ok(cases > CASES_MIN, `${cases} cases`);
  await assertTrickWorksWithin(cluster);
  await using system = await connectAs(cluster, "system");
  await assertVerbsWork(admin.nc, system.nc);

  await using _running = await startProcesses(attacked);
  await ask(homeserver.nc, `tidemark.in.event.${ROOM}`, message("$2"));
  const isFolded = async () => {
    const { orders } = await ask(frontend.nc, `tidemark.query.${ROOM}`, { op: "orders", event_ids: ["$2"] });
    return orders.$2 !== null;
  };
  await eventually(isFolded, "Tidemark goes on", CLUSTER_LIMIT_MS);
}

/** A connection to one server and no other. */
function connectTo(cluster: NatsCluster, { host, port }: ClusterServer, user: User): Promise<NatsConnection> {
  return cluster.connect(user, { servers: `${host}:${port}`, ignoreClusterUpdates: true });
}

/** Asserts that what the outsiders tried works within an account. */
async function assertTrickWorksWithin(cluster: NatsCluster): Promise<void> {
  await using admin = await connectAs(cluster, "admin");
  const jsm = await managerOf(admin.nc, "$JS.API");
  const stored = async () => (await jsm.streams.info("TIDEMARK_REJECTED")).state.messages;
  const before = await stored();
  const connections = await Promise.all(cluster.servers.map((server) => connectTo(cluster, server, "admin")));
  for (const nc of connections) {
    nc.publish("$JS.API.STREAM.INFO.TIDEMARK_LOG_0", "", { reply: "tidemark.rejected.0.!trick:a" });
    await nc.flush();
  }
  await eventually(async () => (await stored()) > before, "an answer is stored");
  await Promise.all(connections.map((nc) => nc.close()));
}
