/** What a process or a server uses, as the machine and they themselves say it. */
import { readdir, readFile } from "node:fs/promises";
import type { NatsConnection } from "nats";
import type { ClusterServer } from "../support/nats-cluster.ts";
import type { GrowthLimit } from "./flatness.ts";
import type { ClusterProcess } from "./process.ts";

const MIB = 1_048_576;
const KIB_PER_MIB = 1_024;
const ANSWER_MS = 10_000;

interface Vital {
  /** How much it may grow. Absent for what grows with the data: pages of files that are mapped. */
  readonly limit?: GrowthLimit;
}

const declared = <Name extends string>(table: Record<Name, Vital>): Readonly<Record<Name, Vital>> => table;

export const VITALS = declared({
  "resident MiB": {},
  /** Resident, without mapped files. */
  "own MiB": { limit: { absolute: 16, relative: 0.1 } },
  "heap MiB": { limit: { absolute: 12, relative: 0.15 } },
  handles: { limit: { absolute: 6, relative: 0.1 } },
  timers: { limit: { absolute: 6, relative: 0.1 } },
  consumers: { limit: { absolute: 4, relative: 0.1 } },
});

export type VitalName = keyof typeof VITALS;
export type Vitals = Partial<Record<VitalName, number>>;

/** Resolves to nothing while it doesn't run. */
export async function processVitals({ pid, metrics }: Pick<ClusterProcess, "pid" | "metrics">): Promise<Vitals> {
  if (pid === undefined || metrics === undefined) return {};
  const text = await (await fetch(`${metrics}/metrics`, { signal: AbortSignal.timeout(ANSWER_MS) })).text();
  const metric = (name: string) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`${name} `))
        ?.split(" ")[1],
    );
  return {
    ...(await machineVitals(pid)),
    "heap MiB": metric("nodejs_heap_size_used_bytes") / MIB,
    timers: metric('nodejs_active_resources{type="Timeout"}'),
  };
}

/** By name of the server; nothing of one that doesn't answer. `system`: a connection in the system account. */
export async function serverVitals(
  servers: readonly ClusterServer[],
  system: NatsConnection,
): Promise<Map<string, Vitals>> {
  const answers = await system.requestMany("$SYS.REQ.SERVER.PING.JSZ", "", {
    maxMessages: servers.length,
    maxWait: ANSWER_MS,
  });
  const vitals = new Map<string, Vitals>();
  for await (const answer of answers) {
    const { server, data } = answer.json<{ server: { name: string }; data: { consumers: number } }>();
    const pid = servers.find(({ name }) => name === server.name)?.pid;
    if (pid === undefined) continue;
    vitals.set(server.name, { ...(await machineVitals(pid)), consumers: data.consumers });
  }
  return vitals;
}

async function machineVitals(pid: number): Promise<Vitals> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / KIB_PER_MIB;
  const handles = await readdir(`/proc/${pid}/fd`);
  return { "resident MiB": mebibytes("VmRSS"), "own MiB": mebibytes("RssAnon"), handles: handles.length };
}
