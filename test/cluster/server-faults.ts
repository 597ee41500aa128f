/** Faults of the servers and of their network: they die, hang, are cut off, lose their stores, have full disks. */
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../support/harness.ts";
import { wipeStore } from "../support/nats-cluster.ts";
import { between, type Faults, paused, pick, replicated, serverKilled } from "./fault.ts";
import { fillLog } from "./large-log.ts";

const NO_SPACE = "no space left on device";
const DISK_LIMIT_MS = 60_000;
const DISK_FULL_MS = 5_000;

export const SERVER_FAULTS: Faults = {
  "kill a server": {
    promise: "stall",
    run: ({ cluster, next }) => serverKilled(pick(cluster.servers, next), () => delay(between(500, 3_000, next))),
  },
  // The same as `nats-server --signal ldm`: the server first gives up its clients and its leaderships.
  "restart a server gracefully": {
    promise: "election",
    run: async ({ cluster, next }) => {
      const server = pick(cluster.servers, next);
      server.kill("SIGUSR2");
      await server.ended();
      await server.start();
    },
  },
  "pause a server": {
    promise: "stall",
    run: ({ cluster, next }) => {
      const server = pick(cluster.servers, next);
      return paused([{ signal: (signal) => server.kill(signal) }], between(1_000, 6_000, next));
    },
  },
  "cut two servers from each other": {
    promise: "stall",
    run: async ({ network, next }) => {
      const one = Math.floor(next() * 3);
      const heal = await network.cut(one, (one + 1) % 3);
      await delay(between(2_000, 8_000, next));
      await heal();
    },
  },
  "cut a server off": {
    promise: "stall",
    run: async ({ network, next }) => {
      const one = Math.floor(next() * 3);
      const heals = [await network.cut(one, (one + 1) % 3), await network.cut(one, (one + 2) % 3)];
      await delay(between(2_000, 8_000, next));
      for (const heal of heals) await heal();
    },
  },
  "restart everything": {
    promise: "outage",
    stopsProxies: true,
    run: async ({ cluster, workers, ingresses, gateways, proxies }) => {
      const all = [...workers, ...ingresses, ...gateways, ...proxies];
      await Promise.all(all.map((process) => process.end("SIGKILL")));
      for (const server of cluster.servers) server.kill("SIGKILL");
      await Promise.all(cluster.servers.map((server) => server.ended()));
      await Promise.all(cluster.servers.map((server) => server.start()));
      await cluster.ready();
      await Promise.all(all.map((process) => process.start()));
    },
  },
  // A worker that starts meanwhile makes its consumers at a server that has not copied the logs yet.
  "wipe a server's store": {
    promise: "election",
    run: async (stage) => {
      const { cluster, workers, next } = stage;
      await fillLog(stage);
      // Two copies of what was acknowledged last must be on other servers.
      await replicated(stage);
      const server = pick(cluster.servers, next);
      await serverKilled(server, () => wipeStore(server));
      const worker = pick(workers, next);
      await worker.end("SIGTERM");
      await worker.start();
      await replicated(stage);
    },
  },
  // The server ends JetStream: it has to be started again once there is space (docs/operations.md#a-disk-fills).
  "fill a server's disk": {
    promise: "election",
    needsDisks: true,
    run: async (stage) => {
      const { cluster, disks } = stage;
      const server = cluster.servers.at(-1)!;
      const failures = () => server.log.filter((line) => line.includes(NO_SPACE)).length;
      const before = failures();
      await replicated(stage);
      await disks!.server.fill();
      await eventually(() => failures() > before, `${server.name} has no space`, DISK_LIMIT_MS);
      await delay(DISK_FULL_MS);
      await disks!.server.free();
      await serverKilled(server, async () => {});
      await replicated(stage);
    },
  },
};
