/** Faults of Tidemark's processes: they die, hang, are drained, have wrong clocks or full disks. */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import { LEASE_HOLD_MS } from "../../src/limits.ts";
import { eventually } from "../support/harness.ts";
import { Arrivals } from "./arrivals.ts";
import { BEYOND_LEASE_MS, between, type Faults, killed, paused, pick } from "./fault.ts";
import type { ClusterProcess } from "./process.ts";

/** How long the last worker of a rolling upgrade is given to get its partitions back. */
const HAND_OVER_MS = 2_000;
const HOUR_MS = 3_600_000;
/** How far wrong clocks are: by hours and days, in both directions. */
const CLOCKS_AHEAD_MS = [-26 * HOUR_MS, -HOUR_MS, 2 * HOUR_MS, 80 * HOUR_MS];
const CLOCK_WRONG_MS = 6_000;
/** The start of the line. */
const PARTITION_FAILED = "a partition has failed";
const DISK_LIMIT_MS = 60_000;
const DISK_FULL_MS = 5_000;

/** Sets the clock, and then right again, so that it has jumped in both directions. */
async function wrongClock(process: ClusterProcess, next: () => number): Promise<void> {
  await process.setClock(pick(CLOCKS_AHEAD_MS, next));
  await delay(CLOCK_WRONG_MS);
  await process.setClock(0);
}

export const PROCESS_FAULTS: Faults = {
  "kill a worker": {
    promise: "expiry",
    run: ({ workers, next }) => killed(pick(workers, next), between(0, 2_000, next)),
  },
  "kill a worker for longer than its lease": {
    promise: "expiry",
    run: ({ workers, next }) => killed(pick(workers, next), BEYOND_LEASE_MS),
  },
  "pause a worker beyond its lease": {
    promise: "expiry",
    run: ({ workers, next }) => paused([pick(workers, next)], BEYOND_LEASE_MS),
  },
  "pause a worker": {
    promise: "expiry",
    run: ({ workers, next }) => paused([pick(workers, next)], between(500, 4_000, next)),
  },
  "pause all workers beyond their leases": {
    promise: "outage",
    run: ({ workers }) => paused(workers, BEYOND_LEASE_MS),
  },
  "drain a worker": {
    promise: "handOver",
    run: async ({ workers, next }) => {
      const worker = pick(workers, next);
      await worker.end("SIGTERM");
      await worker.start();
    },
  },
  "restart the workers one by one": {
    promise: "handOver",
    run: async ({ workers, voices, connections }) => {
      // Effects of the previous fault, such as an election, must not count here.
      await voices.calm();
      const period = voices.begin();
      const arrivals = new Arrivals(connections.frontend);
      for (const worker of workers) {
        await worker.end("SIGTERM");
        await worker.start();
      }
      // The last worker gets its partitions back once it is warm.
      await delay(HAND_OVER_MS);
      assert.equal(arrivals.end(), [], "no delta is lost or repeated");
      const { partition, silentMs } = period.end().published;
      // Usually 1 to 2 s. A partition that is waited for until its lease runs out was not handed over.
      assert.ok(silentMs < LEASE_HOLD_MS, `partition ${partition} was silent for ${Math.round(silentMs)} ms`);
    },
  },
  "kill an ingress": {
    promise: "nothing",
    run: ({ ingresses, next }) => killed(pick(ingresses, next), between(0, 1_000, next)),
  },
  "pause an ingress": {
    promise: "nothing",
    run: ({ ingresses, next }) => paused([pick(ingresses, next)], between(500, 4_000, next)),
  },
  "kill a gateway": {
    promise: "nothing",
    run: ({ gateways, next }) => killed(pick(gateways, next), between(0, 1_000, next)),
  },
  "pause a gateway": {
    promise: "nothing",
    run: ({ gateways, next }) => paused([pick(gateways, next)], between(500, 4_000, next)),
  },
  "kill a proxy": {
    promise: "nothing",
    stopsProxies: true,
    run: ({ proxies, next }) => killed(pick(proxies, next), between(0, 1_000, next)),
  },
  "pause a proxy": {
    promise: "nothing",
    stopsProxies: true,
    run: ({ proxies, next }) => paused([pick(proxies, next)], between(500, 4_000, next)),
  },
  "set a worker's clock wrong": {
    promise: "nothing",
    run: ({ workers, next }) => wrongClock(pick(workers, next), next),
  },
  "set an ingress's clock wrong": {
    promise: "nothing",
    run: ({ ingresses, next }) => wrongClock(pick(ingresses, next), next),
  },
  "set a gateway's and a proxy's clock wrong": {
    promise: "nothing",
    run: async ({ gateways, proxies, next }) => {
      await Promise.all([gateways, proxies].map((processes) => wrongClock(pick(processes, next), next)));
    },
  },
  "fill a worker's disk": {
    promise: "expiry",
    needsDisks: true,
    run: async ({ workers, disks }) => {
      const worker = workers.at(-1)!;
      const failures = () => worker.lines().filter((line) => line.includes(PARTITION_FAILED)).length;
      const before = failures();
      await disks!.worker.fill();
      await eventually(() => failures() > before, `partitions fail at ${worker.name}`, DISK_LIMIT_MS);
      await delay(DISK_FULL_MS);
      await disks!.worker.free();
      // They are not served there until it is started again.
      await worker.end("SIGTERM");
      await worker.start();
    },
  },
};
