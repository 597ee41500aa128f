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
import { ensureBucket, streamOf } from "./client/kv.ts";
import {
  ARCHIVE_BUCKET,
  deltaStream,
  deltaStreamSubjects,
  FEDERATION_CURSORS_BUCKET,
  federationStream,
  federationStreamSubjects,
  LEASES_BUCKET,
  logStream,
  logStreamSubjects,
  MARKS_BUCKET,
  PARTITIONS_BUCKET,
  REJECTED_STREAM,
  REJECTED_SUBJECTS,
} from "./contract/subjects.ts";
import { markNewLog } from "./deltas/published-mark.ts";
import { EDGE_BUCKETS, ensureEdgeBuckets, ensureFederationBuckets, prepareOutside } from "./outside-accounts.ts";
import {
  agreeOnFederationShards,
  agreeOnPartitionCount,
  areLogsMade,
  type Counts,
  noteLogsMade,
  refuseLogsWithoutCount,
  restoreCounts,
} from "./partition-count.ts";

export interface PrepareOptions {
  /** The partition count, if the logs don't exist yet. Default: `PARTITIONS_DEFAULT`. */
  readonly partitions?: number | undefined;
  /** Of every stream and bucket that is made. Default: 3 on a cluster, 1 on a single server. */
  readonly replicas?: number | undefined;
  /** How large each log that is made may get. A full one refuses entries, while all else goes on. Default: no limit of its own. */
  readonly logBytesMax?: number | undefined;
  /** Whether the logs that are made are filled from elsewhere, with what is old. Default: false. */
  readonly isImport?: boolean;
}

/**
 * Prepares the broker. Returns the partition count, which is fixed when the logs are first made. Waits up to
 * `CLUSTER_READY_MS_MAX` for a cluster that is just starting.
 * Throws `BUS_MISMATCH` when the logs have another partition count than `partitions`, or lack it, `BUS_UNAVAILABLE` when the broker
 * can't do it.
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
  const replicas = replicasOn(nc, options.replicas);
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
  await refuseLogsWithoutCount(nc);
  // First, and alone: a process that may not make streams is refused here, once.
  const shards = await agreeOnFederationShards(nc, replicas);
  const isFirst = !(await areLogsMade(nc));
  /** Once everything was made, one that can't be asked now stops nothing else: it fails alone, or is made again (`keptStreams`). */
  const attempt = async (make: () => Promise<unknown>) => {
    try {
      await make();
    } catch (error) {
      if (isFirst || !isTransient(error)) throw error;
    }
  };
  // Before the partition count: a process that finds the count relies on these.
  await Promise.all([
    attempt(() => ensureEdgeBuckets(nc, replicas)),
    attempt(() => ensureFederationBuckets(nc, replicas)),
  ]);
  const partitions = await agreeOnPartitionCount(nc, options.partitions, replicas);
  await Promise.all([
    attempt(() => ensureBucket(nc, MARKS_BUCKET, { replicas })),
    attempt(() => ensureBucket(nc, ARCHIVE_BUCKET, { replicas })),
    ensureBucket(nc, LEASES_BUCKET, { replicas }),
    eachAtOnce(streamsOf({ partitions, shards }, replicas), STREAMS_AT_ONCE, (stream) =>
      attempt(() => ensureStream(nc, stream)),
    ),
  ]);
  await eachAtOnce(Array(partitions).keys(), STREAMS_AT_ONCE, (partition) =>
    attempt(async () => {
      // Before the log: one that lacks a mark is not a new one.
      const isNew = (await streamState(nc, logStream(partition))) === undefined;
      if (isNew && !isFirst) return; // Its partition fails, and `log_missing` names it.
      if (isNew && options.isImport !== true) await markNewLog(nc, partition);
      await ensureStream(nc, logOf(partition, replicas, options.logBytesMax));
    }),
  );
  if (isFirst) await noteLogsMade(nc);
  await attempt(() => prepareOutside(nc, replicas, { partitions, shards }));
  return partitions;
}

/** What a worker keeps there while it runs. */
export interface KeptStreams extends Counts {
  readonly replicas: number;
}

interface KeptStream {
  readonly stream: string;
  /** Makes it again. Absent for a log, which is never made again. */
  readonly make?: () => Promise<unknown>;
  /** Whose log it is. */
  readonly partition?: number;
}

/** All streams of this account, those of buckets first. */
export function* keptStreams(nc: Bus, { partitions, shards, replicas }: KeptStreams): Generator<KeptStream> {
  yield { stream: streamOf(LEASES_BUCKET), make: () => ensureBucket(nc, LEASES_BUCKET, { replicas }) };
  yield { stream: streamOf(PARTITIONS_BUCKET), make: () => restoreCounts(nc, { partitions, shards }, replicas) };
  yield { stream: streamOf(MARKS_BUCKET), make: () => ensureBucket(nc, MARKS_BUCKET, { replicas }) };
  yield { stream: streamOf(ARCHIVE_BUCKET), make: () => ensureBucket(nc, ARCHIVE_BUCKET, { replicas }) };
  for (const bucket of EDGE_BUCKETS) yield { stream: streamOf(bucket), make: () => ensureEdgeBuckets(nc, replicas) };
  yield { stream: streamOf(FEDERATION_CURSORS_BUCKET), make: () => ensureFederationBuckets(nc, replicas) };
  for (const settings of streamsOf({ partitions, shards }, replicas)) {
    // It goes on beyond every sequence that it had, so readers and their cursors need not know that it is another stream.
    yield { stream: settings.name, make: () => ensureStream(nc, { ...settings, first: Date.now() }) };
  }
  for (let partition = 0; partition < partitions; partition++) yield { stream: logStream(partition), partition };
}

/** Replicas of each stream that is made. Default: 3 on a cluster, 1 on a single server. */
export function replicasOn(nc: Bus, wanted?: number): number {
  return wanted ?? (nc.info?.cluster !== undefined ? CLUSTER_REPLICAS : 1);
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

function logOf(partition: number, replicas: number, bytesMax?: number): StreamSettings {
  return { name: logStream(partition), subjects: logStreamSubjects(partition), keep: "forever", replicas, bytesMax };
}
