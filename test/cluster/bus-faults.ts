/** Faults of what is on the servers: passwords are refused, and streams, buckets, rows and consumers are deleted. */
import { setTimeout as delay } from "node:timers/promises";
import {
  deltaStream,
  federationStream,
  LEASES_BUCKET,
  logStream,
  MARKS_BUCKET,
  PARTITIONS_BUCKET,
  REJECTED_STREAM,
} from "../../src/bus/contract/subjects.ts";
import { FEDERATION_SHARDS } from "../../src/limits.ts";
import { eventually } from "../support/harness.ts";
import { between, type Faults, pick } from "./fault.ts";
import { PARTITIONS } from "./names.ts";
import type { Stage } from "./stage.ts";

const EDGE = "EDGE.JS.API";
const REFUSED_USERS = ["worker", "ingress", "gateway"] as const;
const PASSWORDS_REFUSED_MS = 6_000;
const MADE_AGAIN_LIMIT_MS = 120_000;

const bucketStream = (bucket: string) => `KV_${bucket}`;
const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition);

async function managerOf({ connections: { admin } }: Stage, apiPrefix = "$JS.API") {
  return await admin.jetstreamManager({ apiPrefix, checkAPI: false });
}

/** Deletes a stream, and waits until it is there again and takes messages. */
async function deletedStreams(stage: Stage, names: readonly string[]): Promise<void> {
  const { streams } = await managerOf(stage);
  await Promise.all(names.map((name) => streams.delete(name)));
  for (const name of names) {
    const takesMessages = () =>
      streams.info(name).then(
        ({ state }) => state.messages > 0,
        () => false,
      );
    await eventually(takesMessages, `${name} was made again, and has messages`, MADE_AGAIN_LIMIT_MS);
  }
}

async function deletedDeltas(stage: Stage, of: readonly number[]): Promise<void> {
  for (const partition of of) stage.withoutDeltas.add(partition);
  await deletedStreams(stage, of.map(deltaStream));
}

/** Deletes all consumers of a stream. */
async function deletedConsumers(stage: Stage, stream: string, apiPrefix?: string): Promise<void> {
  const { consumers } = await managerOf(stage, apiPrefix);
  // Readers of the stream may be faster.
  for await (const { name } of consumers.list(stream)) await consumers.delete(stream, name).catch(() => false);
}

async function refused({ passwords, cluster, next }: Stage, users: readonly (typeof REFUSED_USERS)[number][]) {
  await passwords.refuse(cluster, users);
  await delay(between(PASSWORDS_REFUSED_MS / 2, PASSWORDS_REFUSED_MS, next));
  await passwords.refuse(cluster, []);
}

export const BUS_FAULTS: Faults = {
  "refuse a role's password": {
    promise: "outage",
    run: (stage) => refused(stage, [pick(REFUSED_USERS, stage.next)]),
  },
  "refuse all passwords": { promise: "outage", run: (stage) => refused(stage, REFUSED_USERS) },
  "delete the row of a lease": {
    promise: "nothing",
    run: async (stage) => {
      const { streams } = await managerOf(stage);
      const filter = `$KV.${LEASES_BUCKET}.partition.${pick(partitions, stage.next)}`;
      await streams.purge(bucketStream(LEASES_BUCKET), { filter });
    },
  },
  "delete the bucket of leases": {
    promise: "nothing",
    run: (stage) => deletedStreams(stage, [bucketStream(LEASES_BUCKET)]),
  },
  "delete the bucket of published marks": {
    promise: "nothing",
    run: (stage) => deletedStreams(stage, [bucketStream(MARKS_BUCKET)]),
  },
  "delete the bucket of counts": {
    promise: "nothing",
    run: (stage) => deletedStreams(stage, [bucketStream(PARTITIONS_BUCKET)]),
  },
  "delete a delta stream": {
    promise: "streamMadeAgain",
    run: (stage) => deletedDeltas(stage, [pick(partitions, stage.next)]),
  },
  "delete all delta streams": { promise: "streamMadeAgain", run: (stage) => deletedDeltas(stage, partitions) },
  "delete the rejections": { promise: "nothing", run: (stage) => deletedStreams(stage, [REJECTED_STREAM]) },
  "delete the federation streams": {
    promise: "nothing",
    run: (stage) =>
      deletedStreams(
        stage,
        Array.from({ length: FEDERATION_SHARDS }, (_, shard) => federationStream(shard)),
      ),
  },
  "delete the mirror of a delta stream": {
    promise: "mirrorMadeAgain",
    run: async (stage) => {
      const { streams } = await managerOf(stage, EDGE);
      await streams.delete(deltaStream(pick(partitions, stage.next)));
    },
  },
  "delete the consumers of the logs": {
    promise: "streamMadeAgain",
    run: async (stage) => {
      for (const partition of partitions) await deletedConsumers(stage, logStream(partition));
    },
  },
  "delete the consumers of the deltas": {
    promise: "mirrorMadeAgain",
    run: async (stage) => {
      for (const partition of partitions) {
        await deletedConsumers(stage, deltaStream(partition));
        await deletedConsumers(stage, deltaStream(partition), EDGE);
      }
    },
  },
};
