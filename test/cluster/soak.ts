/**
 * A soak: load on a cluster without faults, with readers and clients that stay, and others that come and go. What each process and
 * each server uses has to be flat (`flatness.ts`).
 */
import { setTimeout as delay } from "node:timers/promises";
import { random } from "../support/random.ts";
import { flatnessOf } from "./flatness.ts";
import { roomsOf, usersOf } from "./names.ts";
import { ProxiedClients } from "./proxied-clients.ts";
import { Readers } from "./readers.ts";
import { SyncClient } from "./sync-client.ts";
import { SyncClients } from "./sync-clients.ts";
import { tableOf } from "./table.ts";
import type { TestedCluster } from "./tested-cluster.ts";
import { processVitals, serverVitals, VITALS, type VitalName, type Vitals } from "./vitals.ts";
import { type Acknowledged, joinAll, startWorkload } from "./workload.ts";

/** Of its rooms and users. */
export const SOAK = "soak";

const SAMPLE_MS = 10_000;
/** A process on a busy machine may not answer at once; one that answers less often than this is judged by too little. */
const ANSWERED_MIN = 0.8;
/** Of each sender: about 11 entries a second in all. */
const SENDER_PAUSE_MS = 500;
/** How often a front-end and clients come, read everything, and go. */
const VISIT_MS = 15_000;
const MINUTE_MS = 60_000;
const REPORT_MS = 5 * MINUTE_MS;

export interface SoakResult {
  /** A table: what each process used after the warm-up, and by how much it grew. */
  readonly lines: readonly string[];
  /** What was not flat. */
  readonly problems: readonly string[];
  readonly written: number;
}

interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

/** Samples of every process, by its name and what was measured. */
type Samples = Map<string, Map<VitalName, number[]>>;

export async function soak(tested: TestedCluster, { minutes, seed, print }: SoakOptions): Promise<SoakResult> {
  const { cluster, connections, homeserver } = tested;
  const rooms = roomsOf(SOAK);
  const users = usersOf(SOAK);
  const processes = [...tested.workers, ...tested.ingresses, ...tested.gateways, ...tested.proxies];
  const gateways = () => tested.gateways.flatMap(({ http }) => http ?? []);
  const before = await joinAll(connections, rooms, users);
  const workload = startWorkload(connections, {
    rooms,
    users,
    next: random(seed),
    before,
    pauseMs: SENDER_PAUSE_MS,
    onNew: () => {},
  });
  homeserver.eventsOf = (room) => newestOf(workload.acknowledged, room);
  const system = await cluster.connect("system");
  await using _clients = new SyncClients(users, gateways);
  await using proxied = new ProxiedClients({
    rooms,
    proxies: () => tested.proxies.flatMap(({ http }) => http ?? []),
    seen: () => {},
  });
  await using _readers = await Readers.start(cluster.url("frontend"), rooms, users);
  const samples: Samples = new Map();
  const until = performance.now() + minutes * MINUTE_MS;
  let visits = 0;
  const visit = async () => {
    await using _visit = await Readers.start(cluster.url("frontend"), rooms, users.slice(0, 1));
    for (const url of gateways()) await new SyncClient(users[0]!).sync(url);
    visits++;
  };
  // One may fail on a busy machine: what counts is what stays behind.
  const visiting = repeat(until, VISIT_MS, () => visit().catch(() => {}));
  const reporting = repeat(until, REPORT_MS, async () => {
    const left = Math.round((until - performance.now()) / MINUTE_MS);
    const { acknowledged } = workload;
    print(`${left} min left: ${acknowledged.length} writes, ${proxied.answers} proxied answers, ${visits} visits`);
  });
  let rounds = 0;
  await repeat(until, SAMPLE_MS, async () => {
    rounds++;
    for (const process of processes) keep(samples, process.name, await processVitals(process).catch(() => ({})));
    for (const [name, vitals] of await serverVitals(cluster.servers, system)) keep(samples, name, vitals);
  });
  await Promise.all([visiting, reporting]);
  await workload.stop();
  await system.close();
  if (proxied.failures.length > 0) throw new Error("an answer of a proxy failed", { cause: proxied.failures[0] });
  return { ...verdict(samples, rounds * ANSWERED_MIN), written: workload.acknowledged.length };
}

/** The ids of a room's newest events, oldest first. */
function newestOf(acknowledged: readonly Acknowledged[], of: string): string[] {
  return acknowledged.flatMap(({ room, what }) => (room === of && typeof what === "string" ? [what] : []));
}

async function repeat(until: number, pauseMs: number, work: () => Promise<void>): Promise<void> {
  while (performance.now() < until) {
    await work();
    await delay(Math.max(0, Math.min(pauseMs, until - performance.now())));
  }
}

function keep(samples: Samples, name: string, vitals: Vitals): void {
  const of = samples.get(name) ?? new Map<VitalName, number[]>();
  samples.set(name, of);
  for (const vital of Object.keys(vitals) as VitalName[]) {
    of.set(vital, [...(of.get(vital) ?? []), vitals[vital]!]);
  }
}

/** Judges the samples. Each cell of the table has the median after the warm-up, and the growth. */
function verdict(samples: Samples, samplesMin: number): Pick<SoakResult, "lines" | "problems"> {
  const names = Object.keys(VITALS) as VitalName[];
  const problems: string[] = [];
  const rows = [...samples].map(([process, of]) => [
    process,
    ...names.map((name) => {
      const values = of.get(name);
      if (values === undefined) return "";
      if (values.length < samplesMin) problems.push(`${process}: only ${values.length} samples of ${name}`);
      const { limit } = VITALS[name];
      const { median, growth, isFlat } = flatnessOf(
        values,
        limit ?? { absolute: Number.POSITIVE_INFINITY, relative: 0 },
      );
      if (!isFlat) problems.push(`${process}: ${name} grew by ${growth.toFixed(1)}, from about ${median.toFixed(1)}`);
      return `${median.toFixed(0)} (${growth < 0 ? "" : "+"}${growth.toFixed(1)})${isFlat ? "" : " !"}`;
    }),
  ]);
  return { lines: tableOf([["median (growth)", ...names], ...rows]), problems };
}
