/**
 * A cluster of three brokers on the shipped `nats.conf`, with workers and ingresses as processes. A history on it is
 * load and readers while faults are injected, and then the checker, which looks at everything from the outside.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { decoded, pack, token } from "../support/harness.ts";
import { type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { random } from "../support/random.ts";
import { Arrivals } from "./arrivals.ts";
import { type Connections, check, query } from "./checker.ts";
import { FAULTS } from "./faults.ts";
import { makeNamespaces, makeProxies, type Network } from "./network.ts";
import { type ClusterProcess, clusterProcess } from "./process.ts";
import { Readers } from "./readers.ts";
import type { Stage } from "./stage.ts";
import { SyncClients } from "./sync-clients.ts";
import { type Acknowledged, joinAll, startWorkload, USERS } from "./workload.ts";

const PARTITIONS = 4;
const ROOMS = 6;
const RECOVERY_LIMIT_MS = 60_000;
const POLL_MS = 50;

export interface TestedCluster extends AsyncDisposable {
  readonly cluster: NatsCluster;
  readonly network: Network;
  readonly workers: readonly ClusterProcess[];
  readonly ingresses: readonly ClusterProcess[];
  readonly gateways: readonly ClusterProcess[];
  readonly connections: Connections & { readonly homeserver: NatsConnection };
}

export interface ClusterSize {
  readonly workers: number;
  readonly ingresses: number;
  readonly gateways: number;
  /** Uses proxies even where network namespaces are allowed. Default: false. */
  readonly proxies?: boolean;
}

export async function startTestedCluster({
  workers,
  ingresses,
  gateways,
  proxies = false,
}: ClusterSize): Promise<TestedCluster> {
  const closing: (() => PromiseLike<unknown>)[] = [];
  const dispose = async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    const network = (proxies ? undefined : await makeNamespaces()) ?? makeProxies();
    closing.push(() => network[Symbol.asyncDispose]());
    const cluster = await startNatsCluster(network);
    closing.push(() => cluster[Symbol.asyncDispose]());
    const users = join(cluster.dir, "users.json");
    await writeFile(users, JSON.stringify(Object.fromEntries(USERS.map((user) => [user, { user_id: user }]))));
    const start = (role: "worker" | "ingress" | "gateway", count: number) =>
      Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const more = role === "gateway" ? ["--users", users] : [];
          const process = clusterProcess({ cluster, role, number: i + 1, partitions: PARTITIONS, more });
          closing.push(() => process.end("SIGKILL"));
          await process.start();
          return process;
        }),
      );
    const connect = async (user: "homeserver" | "frontend" | "admin") => {
      const nc = await cluster.connect(user);
      closing.push(() => nc.close());
      return nc;
    };
    return {
      cluster,
      network,
      workers: await start("worker", workers),
      ingresses: await start("ingress", ingresses),
      gateways: await start("gateway", gateways),
      connections: {
        homeserver: await connect("homeserver"),
        frontend: await connect("frontend"),
        admin: await connect("admin"),
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The effect of one fault. */
interface Injected {
  readonly name: string;
  /** Time from the end of the fault until queries about every room are answered. */
  readonly recoveryMs: number;
  /** The longest time without a delta of a partition, from the start of the fault until then. */
  readonly silentMs: number;
}

export interface HistoryResult {
  readonly injected: readonly Injected[];
  readonly written: number;
  readonly observed: number;
  /** How often readers loaded a snapshot because deltas were missing. */
  readonly reloads: number;
  /** Events that `/sync` told a client once more. */
  readonly repeats: number;
}

/** Throws if a check fails. */
export async function runHistory(
  tested: TestedCluster,
  { number, seed, faults }: { readonly number: number; readonly seed: number; readonly faults: readonly string[] },
): Promise<HistoryResult> {
  const { cluster, connections } = tested;
  const next = random(seed);
  const rooms = Array.from({ length: ROOMS }, (_, i) => `!h${number}r${i}:a.org`);
  const observed: [string, string, number][] = [];
  const injected: Injected[] = [];
  const arrivals = new Arrivals(connections.frontend);
  const stage: Stage = { ...tested, next, arrivals };
  const joins = await joinAll(connections, rooms);
  const workload = startWorkload(connections, rooms, next, joins);
  await using clients = new SyncClients(USERS, () => tested.gateways.flatMap(({ http }) => http ?? []));
  await using first = await Readers.start(cluster.url("frontend"), rooms, USERS);
  let watching = true;
  const watch = observe(connections, workload.acknowledged, { observed, isOver: () => !watching, next });
  try {
    for (const name of faults) {
      await delay(300 + next() * 700);
      const period = arrivals.begin();
      await FAULTS[name]!(stage);
      const recoveryMs = await recovery(connections, rooms);
      injected.push({ name, recoveryMs, silentMs: period.end().silentMs });
    }
    await delay(500);
  } finally {
    arrivals.close();
    await workload.stop();
    watching = false;
    await watch;
  }
  const { acknowledged } = workload;
  await using late = await Readers.start(cluster.url("frontend"), rooms, USERS);
  await cluster.ready();
  await settled(connections, acknowledged);
  const readers = [first, late];
  await check({ ...connections, partitions: PARTITIONS, rooms, acknowledged, observed, readers, clients });
  const { repeats } = clients;
  return { injected, written: acknowledged.length, observed: observed.length, reloads: first.reloads, repeats };
}

/** Queries orders until the history is over. Requests without an answer are ignored. */
async function observe(
  { frontend }: Connections,
  acknowledged: readonly Acknowledged[],
  { observed, isOver, next }: { observed: [string, string, number][]; isOver: () => boolean; next: () => number },
): Promise<void> {
  while (!isOver()) {
    await delay(POLL_MS);
    const one = acknowledged[Math.floor(next() * acknowledged.length)];
    if (one === undefined || typeof one.what !== "string") continue;
    const request = frontend.request(
      `tidemark.query.${token(one.room)}`,
      pack({ op: "orders", event_ids: [one.what] }),
      { timeout: 1_000 },
    );
    const reply = await request.then(({ data }) => decoded(data)).catch(() => undefined);
    const order = reply?.ok ? reply.orders[one.what] : null;
    if (order !== null) observed.push([one.room, one.what, order]);
  }
}

/** Returns how long it takes until queries about every room are answered again, in ms. */
async function recovery(connections: Connections, rooms: readonly string[]): Promise<number> {
  const since = performance.now();
  await Promise.race([
    Promise.all(rooms.map((room) => query(connections, room, { op: "orders", event_ids: [] }))),
    delay(RECOVERY_LIMIT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`not every room is served again within ${RECOVERY_LIMIT_MS} ms`);
    }),
  ]);
  return performance.now() - since;
}

/** Resolves when all acknowledged entries are folded. */
async function settled(connections: Connections, acknowledged: readonly Acknowledged[]): Promise<void> {
  const last = new Map<string, number>();
  for (const { room, position } of acknowledged) last.set(room, Math.max(last.get(room) ?? 0, position));
  for (const [room, position] of last) {
    while ((await query(connections, room, { op: "orders", event_ids: [] })).position < position) await delay(POLL_MS);
  }
}
