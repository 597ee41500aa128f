/** The faults, each with its repair. A history injects a seeded sequence of them. */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import { LEASE_HOLD_MS } from "../../src/limits.ts";
import type { ClusterServer } from "../support/nats-cluster.ts";
import type { ClusterProcess } from "./process.ts";
import type { Stage } from "./stage.ts";

/** Longer than a lease lasts. */
const BEYOND_LEASE_MS = 17_000;
/** How long the last worker of a rolling upgrade is given to get its partitions back. */
const HAND_OVER_MS = 2_000;

export type Fault = (stage: Stage) => Promise<void>;

const pick = <T>(from: readonly T[], next: () => number): T => from[Math.floor(next() * from.length)]!;
const between = (minMs: number, maxMs: number, next: () => number) => minMs + Math.floor(next() * (maxMs - minMs));

async function killed(process: ClusterProcess, awayMs: number): Promise<void> {
  await process.end("SIGKILL");
  await delay(awayMs);
  await process.start();
}

async function paused(target: { signal(signal: NodeJS.Signals): void }, forMs: number): Promise<void> {
  target.signal("SIGSTOP");
  await delay(forMs);
  target.signal("SIGCONT");
}

async function serverKilled(server: ClusterServer, awayMs: number): Promise<void> {
  server.kill("SIGKILL");
  await server.ended();
  await delay(awayMs);
  await server.start();
}

export const FAULTS: Record<string, Fault> = {
  "kill a worker": ({ workers, next }) => killed(pick(workers, next), between(0, 2_000, next)),
  "kill a worker for longer than its lease": ({ workers, next }) => killed(pick(workers, next), BEYOND_LEASE_MS),
  "pause a worker beyond its lease": ({ workers, next }) => paused(pick(workers, next), BEYOND_LEASE_MS),
  "pause a worker": ({ workers, next }) => paused(pick(workers, next), between(500, 4_000, next)),
  "drain a worker": async ({ workers, next }) => {
    const worker = pick(workers, next);
    await worker.end("SIGTERM");
    await worker.start();
  },
  "restart the workers one by one": async ({ workers, arrivals }) => {
    // Effects of the previous fault, such as an election, must not count here.
    await arrivals.calm();
    const period = arrivals.begin();
    for (const worker of workers) {
      await worker.end("SIGTERM");
      await worker.start();
    }
    // The last worker gets its partitions back once it is warm.
    await delay(HAND_OVER_MS);
    const { silentMs, partition, problems } = period.end();
    assert.equal(problems, [], "no delta is lost or repeated");
    // Usually 1 to 2 s. A partition that is waited for until its lease runs out was not handed over.
    assert.ok(silentMs < LEASE_HOLD_MS, `partition ${partition} was silent for ${Math.round(silentMs)} ms`);
  },
  "kill an ingress": ({ ingresses, next }) => killed(pick(ingresses, next), between(0, 1_000, next)),
  "pause an ingress": ({ ingresses, next }) => paused(pick(ingresses, next), between(500, 4_000, next)),
  "kill a gateway": ({ gateways, next }) => killed(pick(gateways, next), between(0, 1_000, next)),
  "pause a gateway": ({ gateways, next }) => paused(pick(gateways, next), between(500, 4_000, next)),
  "kill a server": ({ cluster, next }) => serverKilled(pick(cluster.servers, next), between(500, 3_000, next)),
  // The same as `nats-server --signal ldm`: the server first gives up its clients and its leaderships.
  "restart a server gracefully": async ({ cluster, next }) => {
    const server = pick(cluster.servers, next);
    server.kill("SIGUSR2");
    await server.ended();
    await server.start();
  },
  "pause a server": ({ cluster, next }) => {
    const server = pick(cluster.servers, next);
    return paused({ signal: (signal) => server.kill(signal) }, between(1_000, 6_000, next));
  },
  "cut two servers from each other": async ({ network, next }) => {
    const one = Math.floor(next() * 3);
    const heal = await network.cut(one, (one + 1) % 3);
    await delay(between(2_000, 8_000, next));
    await heal();
  },
  "cut a server off": async ({ network, next }) => {
    const one = Math.floor(next() * 3);
    const heals = [await network.cut(one, (one + 1) % 3), await network.cut(one, (one + 2) % 3)];
    await delay(between(2_000, 8_000, next));
    for (const heal of heals) await heal();
  },
  "restart everything": async ({ cluster, workers, ingresses, gateways }) => {
    const all = [...workers, ...ingresses, ...gateways];
    await Promise.all(all.map((process) => process.end("SIGKILL")));
    for (const server of cluster.servers) server.kill("SIGKILL");
    await Promise.all(cluster.servers.map((server) => server.ended()));
    await Promise.all(cluster.servers.map((server) => server.start()));
    await cluster.ready();
    await Promise.all(all.map((process) => process.start()));
  },
};
