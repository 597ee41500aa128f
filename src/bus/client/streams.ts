/**
 * The streams and the buckets that Tidemark lives on, made when they are missing.
 *
 * What stands there already is not changed: an operator may have given the streams
 * replicas, limits or a placement of their own. Only what the log's promises need is checked.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  DiscardPolicy,
  type JetStreamManager,
  type KV,
  type NatsConnection,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import { TidemarkError } from "../../errors.ts";
import {
  BROKER_PAYLOAD_BYTES_MIN,
  CLUSTER_READY_MS_MAX,
  CLUSTER_READY_POLL_MS,
  CLUSTER_REPLICAS,
  DELTAS_AGE_MS,
  FEDERATION_AGE_MS,
  PARTITIONS_DEFAULT,
  PARTITIONS_MAX,
  REJECTED_AGE_MS,
  TRANSACTIONS_AGE_MS,
} from "../../limits.ts";
import {
  deltaStream,
  deltaStreamSubjects,
  FEDERATION_CURSORS_BUCKET,
  FEDERATION_STREAM,
  FEDERATION_SUBJECTS,
  LEASES_BUCKET,
  logStream,
  logStreamSubjects,
  PARTITIONS_BUCKET,
  REJECTED_STREAM,
  REJECTED_SUBJECTS,
  TRANSACTIONS_BUCKET,
} from "../contract/subjects.ts";
import { isNotFound, isTransient, translate } from "./connection.ts";

const PARTITIONS_KEY = "partitions";

export interface PrepareOptions {
  /** The partition count, for who makes the logs. */
  readonly partitions?: number | undefined;
  /** Of every stream and bucket that is made; without it 3 on a cluster, 1 on a server alone. */
  readonly replicas?: number | undefined;
}

/**
 * Prepares the broker. Returns the partition count, which is fixed when the logs are first made. A cluster that has just
 * begun to start is given a minute.
 * Throws `BUS_MISMATCH` when `partitions` is another count, `BUS_UNAVAILABLE` when the broker can't do it.
 */
export async function prepareBus(nc: NatsConnection, options: PrepareOptions = {}): Promise<number> {
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
      return await prepare(nc, options.partitions, replicas);
    } catch (error) {
      if (!isTransient(error) || performance.now() > deadline) {
        throw translate(error, `prepare the streams with ${replicas} replicas`);
      }
      await delay(CLUSTER_READY_POLL_MS);
    }
  }
}

async function prepare(nc: NatsConnection, wanted: number | undefined, replicas: number): Promise<number> {
  const { views } = nc.jetstream();
  // First, as who finds the partition count reckons with these.
  await views.kv(TRANSACTIONS_BUCKET, { history: 1, replicas, ttl: TRANSACTIONS_AGE_MS });
  await views.kv(FEDERATION_CURSORS_BUCKET, { history: 1, replicas });
  const partitions = await agreeOnPartitions(nc, wanted, replicas);
  const jsm = await nc.jetstreamManager();
  const streams: Partial<StreamConfig>[] = [federation, rejected];
  for (let partition = 0; partition < partitions; partition++) streams.push(log(partition), deltas(partition));
  for (const stream of streams) await ensureStream(jsm, { ...stream, num_replicas: replicas });
  await views.kv(LEASES_BUCKET, { history: 1, replicas });
  return partitions;
}

async function agreeOnPartitions(nc: NatsConnection, wanted: number | undefined, replicas: number): Promise<number> {
  const bucket = await nc.jetstream().views.kv(PARTITIONS_BUCKET, { history: 1, replicas });
  if ((await bucket.get(PARTITIONS_KEY)) === null) {
    // Of several that start at once, one creates the key, and all of them read it.
    await bucket.create(PARTITIONS_KEY, String(wanted ?? PARTITIONS_DEFAULT)).catch(async (error) => {
      if ((await bucket.get(PARTITIONS_KEY)) === null) throw error;
    });
  }
  const stored = Number((await bucket.get(PARTITIONS_KEY))?.string());
  if (!Number.isInteger(stored) || stored < 1 || stored > PARTITIONS_MAX) {
    throw new TidemarkError("BUS_MISMATCH", `the key ${PARTITIONS_KEY} of the bucket ${PARTITIONS_BUCKET} is no count`);
  }
  if (wanted !== undefined && wanted !== stored) {
    throw new TidemarkError(
      "BUS_MISMATCH",
      `the logs were made with ${stored} partitions, not ${wanted}: the count can't change. Leave --partitions out, or use another broker.`,
    );
  }
  return stored;
}

/** A bucket that a worker has made. Throws the client's error when there is none. */
export async function bindBucket(nc: NatsConnection, name: string): Promise<KV> {
  const js = nc.jetstream({ checkAPI: false });
  await (await js.jetstreamManager(false)).streams.info(`KV_${name}`);
  return js.views.kv(name, { history: 1, bindOnly: true });
}

/** The partition count, for who only reads. Throws `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
export async function partitionCount(nc: NatsConnection): Promise<number> {
  try {
    const bucket = await nc.jetstream().views.kv(PARTITIONS_BUCKET, { history: 1, bindOnly: true });
    const count = Number((await bucket.get(PARTITIONS_KEY))?.string());
    if (Number.isInteger(count) && count > 0) return count;
  } catch (error) {
    if (!isNotFound(error)) throw translate(error, "read the partition count");
  }
  throw new TidemarkError("BUS_UNAVAILABLE", "no Tidemark has made its logs on this broker yet");
}

async function ensureStream(jsm: JetStreamManager, wanted: Partial<StreamConfig>): Promise<void> {
  const name = wanted.name!;
  const found = await jsm.streams.info(name).catch((error) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (found === undefined) {
    await jsm.streams.add(wanted);
    return;
  }
  for (const key of ["deny_delete", "deny_purge", "discard", "retention"] as const) {
    if (wanted[key] !== undefined && found.config[key] !== wanted[key]) {
      throw new TidemarkError(
        "BUS_MISMATCH",
        `stream ${name} has ${key} ${found.config[key]}, and must have ${wanted[key]}: something else made it`,
      );
    }
  }
}

const common = {
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  allow_direct: true,
} satisfies Partial<StreamConfig>;

/** The log keeps everything for ever, and refuses what it has no room for. */
const log = (partition: number): Partial<StreamConfig> => ({
  ...common,
  name: logStream(partition),
  subjects: logStreamSubjects(partition),
  discard: DiscardPolicy.New,
  deny_delete: true,
  deny_purge: true,
});

const deltas = (partition: number): Partial<StreamConfig> => ({
  ...common,
  name: deltaStream(partition),
  subjects: deltaStreamSubjects(partition),
  discard: DiscardPolicy.Old,
  max_age: nanos(DELTAS_AGE_MS),
});

const federation: Partial<StreamConfig> = {
  ...common,
  name: FEDERATION_STREAM,
  subjects: FEDERATION_SUBJECTS,
  discard: DiscardPolicy.Old,
  max_age: nanos(FEDERATION_AGE_MS),
};

const rejected: Partial<StreamConfig> = {
  ...common,
  name: REJECTED_STREAM,
  subjects: REJECTED_SUBJECTS,
  discard: DiscardPolicy.Old,
  max_age: nanos(REJECTED_AGE_MS),
};
