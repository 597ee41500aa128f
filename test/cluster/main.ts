/**
 * `npm run test:cluster -- [--histories N] [--seed S]`: a cluster of three brokers on the `nats.conf` that is shipped, three
 * workers and two ingresses as processes, under load, while things go wrong. After each history the checker looks at
 * everything from the outside. The last line is `N passed, N failed`, and the exit status 1 when anything failed.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ensureBroker } from "../../src/bus/broker/install.ts";
import { decoded, pack, token } from "../support/harness.ts";
import { random } from "../support/load.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { type Connections, check, query } from "./checker.ts";
import { FAULTS, type Stage } from "./faults.ts";
import { makeNetwork } from "./network.ts";
import { clusterProcess } from "./process.ts";
import { type Acknowledged, startWorkload } from "./workload.ts";

const PARTITIONS = 4;
const ROOMS = 6;
const FAULTS_PER_HISTORY = 2;
const RECOVERY_LIMIT_MS = 60_000;
const POLL_MS = 50;

const { values } = parseArgs({ options: { histories: { type: "string" }, seed: { type: "string" } } });
const histories = Number(values.histories ?? 20);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const print = (line: string) => process.stdout.write(`${line}\n`);

process.env.TIDEMARK_NATS_SERVER = (await ensureBroker({ log: print })).path;
await using network = await makeNetwork();
await using cluster = await startNatsCluster({ places: network?.places });
print(
  `seed ${seed}; ${network === undefined ? "no network namespaces here: no cuts" : "a network namespace a server"}`,
);
const workers = [1, 2, 3].map((number) => clusterProcess(cluster, "worker", number));
const ingresses = [1, 2].map((number) => clusterProcess(cluster, "ingress", number));
await using _processes = {
  [Symbol.asyncDispose]: async () => {
    await Promise.all([...workers, ...ingresses].map((process) => process.end("SIGKILL")));
  },
};
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    for (const part of [_processes, cluster, network]) await part?.[Symbol.asyncDispose]();
    process.exit(1);
  });
}
await Promise.all(workers.map((worker) => worker.start()));
await Promise.all(ingresses.map((ingress) => ingress.start()));
const [homeserver, frontend, admin] = await Promise.all(
  (["homeserver", "frontend", "admin"] as const).map((user) => cluster.connect(user)),
);

let passed = 0;
let written = 0;
const recoveries: number[] = [];
const injected = new Map<string, number>();
for (let history = 0; history < histories; history++) {
  try {
    const took = await runHistory(history, { homeserver: homeserver!, frontend: frontend!, admin: admin! });
    passed++;
    print(took);
  } catch (error) {
    print(`history ${history} FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    for (const process of [...workers, ...ingresses])
      print(`${process.name}:\n${process.lines().slice(-15).join("\n")}`);
  }
}
recoveries.sort((a, b) => a - b);
const seconds = (ms: number | undefined) => `${((ms ?? 0) / 1_000).toFixed(1)} s`;
print(`faults: ${[...injected].map(([name, count]) => `${name} ${count}`).join(", ")}`);
print(`${written} acknowledged writes, all in the log and folded once`);
print(
  `recovery after a fault: median ${seconds(recoveries[recoveries.length >> 1])}, longest ${seconds(recoveries.at(-1))}`,
);
print(`${passed} passed, ${histories - passed} failed`);
if (passed < histories) process.exitCode = 1;
await Promise.all([homeserver!, frontend!, admin!].map((nc) => nc.close()));

async function runHistory(
  number: number,
  connections: Connections & { homeserver: NonNullable<typeof homeserver> },
): Promise<string> {
  const next = random(seed + number);
  const stage: Stage = { cluster, network, workers, ingresses, next };
  const rooms = Array.from({ length: ROOMS }, (_, i) => `!h${number}r${i}:a.org`);
  const observed: [string, string, number][] = [];
  const workload = startWorkload(connections, rooms, next);
  const names = Object.keys(FAULTS).filter((name) => network !== undefined || !name.startsWith("cut"));
  const chosen = Array.from({ length: FAULTS_PER_HISTORY }, (_, i) =>
    // Each one has its turn before chance decides.
    i === 0 ? names[number % names.length]! : names[Math.floor(next() * names.length)]!,
  );
  let watching = true;
  const watch = observe(connections, workload.acknowledged, { observed, isOver: () => !watching, next });
  for (const name of chosen) {
    await delay(300 + next() * 700);
    injected.set(name, (injected.get(name) ?? 0) + 1);
    await FAULTS[name]!(stage);
    recoveries.push(await recovery(connections, rooms));
  }
  await delay(500);
  await workload.stop();
  watching = false;
  await watch;
  await cluster.ready();
  await settled(connections, workload.acknowledged);
  await check({ ...connections, partitions: PARTITIONS, rooms, acknowledged: workload.acknowledged, observed });
  written += workload.acknowledged.length;
  return `history ${number}: ${chosen.join("; ")}: ${workload.acknowledged.length} writes, ${observed.length} observations`;
}

/** Asks for orders all the time, whatever the answer. */
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

/** How long it takes until every room is answered for again. */
async function recovery(connections: Connections, rooms: readonly string[]): Promise<number> {
  const since = performance.now();
  await Promise.race([
    Promise.all(rooms.map((room) => query(connections, room, { op: "orders", event_ids: [] }))),
    delay(RECOVERY_LIMIT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`not everything is served again within ${RECOVERY_LIMIT_MS} ms`);
    }),
  ]);
  return performance.now() - since;
}

/** Resolves when what was acknowledged is folded, and told. */
async function settled(connections: Connections, acknowledged: readonly Acknowledged[]): Promise<void> {
  const last = new Map<string, number>();
  for (const { room, position } of acknowledged) last.set(room, Math.max(last.get(room) ?? 0, position));
  for (const [room, position] of last) {
    while ((await query(connections, room, { op: "orders", event_ids: [] })).position < position) await delay(POLL_MS);
  }
  await delay(1_000); // Deltas have no place to ask whether there are more: a flush takes milliseconds.
}
