/**
 * The streams and buckets of Tidemark, made when they are missing.
 *
 * Only `tidemark start` with the role of a worker (or an ingress that may), and `tidemark import`, make them. Every other
 * command, and every library, only reads: it fails when they don't exist.
 */
import { setTimeout as delay } from "node:timers/promises";
import { eachAtOnce } from "../at-once.ts";
import { TidemarkError } from "../errors.ts";
import {
  BROKER_PAYLOAD_BYTES_MIN,
  CLUSTER_READY_MS_MAX,
  CLUSTER_READY_POLL_MS,
  CLUSTER_REPLICAS,
  DELTAS_AGE_MS,
  FEDERATION_AGE_MS,
  REJECTED_AGE_MS,
} from "../limits.ts";
import { type Bus, isTransient } from "./client/connection.ts";
import { ensureStream, STREAMS_AT_ONCE, type StreamSettings, streamState } from "./client/jetstream.ts";
import { ensureBucket } from "./client/kv.ts";
import {
  deltaStream,
  deltaStreamSubjects,
  federationStream,
  federationStreamSubjects,
  LEASES_BUCKET,
  logStream,
  logStreamSubjects,
  MARKS_BUCKET,
  REJECTED_STREAM,
  REJECTED_SUBJECTS,
} from "./contract/subjects.ts";
import { markNewLog } from "./deltas/published-mark.ts";
import { ensureEdgeBuckets, ensureFederationBuckets, prepareOutside } from "./outside-accounts.ts";
import { agreeOnFederationShards, agreeOnPartitionCount } from "./partition-count.ts";

export interface PrepareOptions {
  /** The partition count, if the logs don't exist yet. Default: `PARTITIONS_DEFAULT`. */
  readonly partitions?: number | undefined;
  /** Of every stream and bucket that is made. Default: 3 on a cluster, 1 on a single server. */
  readonly replicas?: number | undefined;
  /** Whether the logs that are made are filled from elsewhere, with what is old. Default: false. */
  readonly isImport?: boolean;
}

/**
 * Prepares the broker. Returns the partition count, which is fixed when the logs are first made. Waits up to
 * `CLUSTER_READY_MS_MAX` for a cluster that is just starting.
 * Throws `BUS_MISMATCH` when the logs have another partition count than `partitions`, `BUS_UNAVAILABLE` when the broker can't
 * do it.
 */
export async function prepareBus(nc: Bus, options: PrepareOptions = {}): Promise<number> {
  const payloadMax = nc.info?.max_payload ?? 0;
  if (payloadMax < BROKER_PAYLOAD_BYTES_MIN) {
    throw new TidemarkError(
      "BUS_MISMATCH",
      `the broker takes messages of ${payloadMax} bytes: set max_payload to ${BROKER_PAYLOAD_BYTES_MIN} or more`,
    );
  }
  const clustered = nc.info?.cluster !== undefined;
  const replicas = options.replicas ?? (clustered ? CLUSTER_REPLICAS : 1);
  const deadline = performance.now() + (clustered ? CLUSTER_READY_MS_MAX : 0);
  for (;;) {
    try {
      return await prepare(nc, options, replicas);
    } catch (error) {
      if (!isTransient(error) || performance.now() > deadline) throw error;
      await delay(CLUSTER_READY_POLL_MS);
    }
  }
}

async function prepare(nc: Bus, options: PrepareOptions, replicas: number): Promise<number> {
  // First, and alone: a process that may not make streams is refused here, once.
  const shards = await agreeOnFederationShards(nc, replicas);
  // Before the partition count: a process that finds the count relies on these.
  await Promise.all([ensureEdgeBuckets(nc, replicas), ensureFederationBuckets(nc, replicas)]);
  const partitions = await agreeOnPartitionCount(nc, options.partitions, replicas);
  await Promise.all([
    ensureBucket(nc, MARKS_BUCKET, { replicas }),
    ensureBucket(nc, LEASES_BUCKET, { replicas }),
    eachAtOnce(streamsOf({ partitions, shards }, replicas), STREAMS_AT_ONCE, (stream) => ensureStream(nc, stream)),
  ]);
  await eachAtOnce(Array(partitions).keys(), STREAMS_AT_ONCE, async (partition) => {
    // Before the log: one that lacks a mark is not a new one.
    const isNew = (await streamState(nc, logStream(partition))) === undefined;
    if (isNew && options.isImport !== true) await markNewLog(nc, partition);
    await ensureStream(nc, logOf(partition, replicas));
  });
  await prepareOutside(nc, replicas, { partitions, shards });
  return partitions;
}

interface Counts {
  readonly partitions: number;
  readonly shards: number;
}

function* streamsOf({ partitions, shards }: Counts, replicas: number): Generator<StreamSettings> {
  for (let shard = 0; shard < shards; shard++) {
    const subjects = federationStreamSubjects(shard);
    yield { name: federationStream(shard), subjects, keep: FEDERATION_AGE_MS, replicas };
  }
  yield { name: REJECTED_STREAM, subjects: REJECTED_SUBJECTS, keep: REJECTED_AGE_MS, replicas };
  for (let partition = 0; partition < partitions; partition++) {
    yield { name: deltaStream(partition), subjects: deltaStreamSubjects(partition), keep: DELTAS_AGE_MS, replicas };
  }
}

function logOf(partition: number, replicas: number): StreamSettings {
  return { name: logStream(partition), subjects: logStreamSubjects(partition), keep: "forever", replicas };
}
