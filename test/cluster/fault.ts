/** What a fault is, and what several of them use. */
import { setTimeout as delay } from "node:timers/promises";
import type { StreamInfo } from "nats";
import type { ClusterServer } from "../support/nats-cluster.ts";
import type { ClusterProcess } from "./process.ts";
import type { PromiseName } from "./promises.ts";
import type { Stage } from "./stage.ts";

/** Longer than a lease lasts. */
export const BEYOND_LEASE_MS = 17_000;

interface Fault {
  /** Does the harm, and repairs what an operator repairs. */
  readonly run: (stage: Stage) => Promise<void>;
  readonly promise: PromiseName;
  /** Proxies don't run all the time: some of their answers fail. */
  readonly stopsProxies?: true;
  /** It needs a small disk of its own. */
  readonly needsDisks?: true;
}

export type Faults = Readonly<Record<string, Fault>>;

export const pick = <T>(from: readonly T[], next: () => number): T => from[Math.floor(next() * from.length)]!;

export const between = (minMs: number, maxMs: number, next: () => number): number =>
  minMs + Math.floor(next() * (maxMs - minMs));

/** Kills a process, and starts it again after a while. */
export async function killed(process: ClusterProcess, awayMs: number): Promise<void> {
  await process.end("SIGKILL");
  await delay(awayMs);
  await process.start();
}

export async function paused(
  targets: readonly { signal(signal: NodeJS.Signals): void }[],
  forMs: number,
): Promise<void> {
  for (const target of targets) target.signal("SIGSTOP");
  await delay(forMs);
  for (const target of targets) target.signal("SIGCONT");
}

export async function serverKilled(server: ClusterServer, whileAway: () => Promise<unknown>): Promise<void> {
  server.kill("SIGKILL");
  await server.ended();
  await whileAway();
  await server.start();
}

/** The accounts whose streams an admin sees to, by the prefix of their JetStream API. */
const PREFIXES = ["$JS.API", "EDGE.JS.API", "FEDERATION.JS.API"];
const COPY_LIMIT_MS = 180_000;
const POLL_MS = 500;

/** Resolves once every replica of every stream is current, as an operator waits between two repairs. */
export async function replicated({ connections: { admin } }: Stage): Promise<void> {
  const deadline = performance.now() + COPY_LIMIT_MS;
  for (const apiPrefix of PREFIXES) {
    for (;;) {
      try {
        const jsm = await admin.jetstreamManager({ apiPrefix, checkAPI: false });
        const streams: StreamInfo[] = [];
        for await (const stream of jsm.streams.list()) streams.push(stream);
        if (streams.length > 0 && streams.every(isReplicated)) break;
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
      if (performance.now() > deadline) throw new Error(`the replicas of ${apiPrefix} are not current`);
      await delay(POLL_MS);
    }
  }
}

function isReplicated({ config, cluster }: StreamInfo): boolean {
  const replicas = cluster?.replicas ?? [];
  return (
    cluster?.leader !== undefined &&
    replicas.length === config.num_replicas - 1 &&
    replicas.every(({ current }) => current)
  );
}
