/**
 * The partition count of a broker's logs, and the shard count of what is published for other servers: the rows `partitions` and
 * `federation_shards` of the bucket `tidemark`. Each is written once, before its streams are made, and never changes. The row `logs`
 * follows once all logs are made: from then on, none is ever made again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { eachAtOnce } from "../at-once.ts";
import { TidemarkError } from "../errors.ts";
import {
  CLUSTER_READY_MS_MAX,
  CLUSTER_READY_POLL_MS,
  FEDERATION_SHARDS,
  PARTITIONS_DEFAULT,
  PARTITIONS_MAX,
} from "../limits.ts";
import type { Bus } from "./client/connection.ts";
import { STREAMS_AT_ONCE, streamState } from "./client/jetstream.ts";
import { Bucket, ensureBucket } from "./client/kv.ts";
import { untilReached } from "./client/retry.ts";
import { logStream, PARTITIONS_BUCKET } from "./contract/subjects.ts";

const KEY = "partitions";
const SHARDS_KEY = "federation_shards";
const LOGS_KEY = "logs";
const MADE = "made";

/** Where logs are looked for when there is no count. A broker that lacks all of these has lost more than its count. */
const LOGS_LOOKED_FOR = 64;

/** Returns undefined when no worker has made the logs yet. Throws `BUS_UNAVAILABLE`, `BUS_MISMATCH` for a row that is no count. */
export async function storedPartitionCount(nc: Bus): Promise<number | undefined> {
  return storedCount(nc, KEY, "partition count");
}

async function storedCount(nc: Bus, key: string, what: string): Promise<number | undefined> {
  const text = await new Bucket(nc, PARTITIONS_BUCKET).get(key);
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= PARTITIONS_MAX) return count;
  throw new TidemarkError("BUS_MISMATCH", `the key ${key} of the bucket ${PARTITIONS_BUCKET} is no ${what}`);
}

/** Throws `BUS_UNAVAILABLE` when no worker has made the logs yet. */
export async function partitionCount(nc: Bus): Promise<number> {
  const count = await storedPartitionCount(nc);
  if (count === undefined) throw noLogs();
  return count;
}

/**
 * Waits up to `CLUSTER_READY_MS_MAX` for a worker to make the logs, and for a cluster to become readable.
 * Throws `BUS_UNAVAILABLE` after that, `BUS_MISMATCH` when the count is not `wanted`.
 */
export async function awaitPartitionCount(nc: Bus, wanted?: number): Promise<number> {
  const limit = AbortSignal.timeout(CLUSTER_READY_MS_MAX);
  for (;;) {
    const count = await untilReached(limit, () => storedPartitionCount(nc));
    if (count !== undefined) return agreed(count, wanted);
    if (limit.aborted) throw noLogs();
    await delay(CLUSTER_READY_POLL_MS);
  }
}

/**
 * Repeats `open` while it says `BUS_UNAVAILABLE`, until the limit: until a worker has made what it reads, and the mirrors of
 * the caller's account hold it. Throws what `open` threw last. `failed` is called after each failure that is followed by a repeat.
 */
export async function awaitStreams<T>(
  limit: AbortSignal,
  open: () => Promise<T>,
  failed: () => Promise<void> = async () => {},
): Promise<T> {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const isAbsent = error instanceof TidemarkError && error.code === "BUS_UNAVAILABLE";
      if (!isAbsent || limit.aborted) throw error;
    }
    await failed();
    await delay(CLUSTER_READY_POLL_MS);
  }
}

/** Writes the count unless there is one. Throws `BUS_MISMATCH` when there is one that is not `wanted`. */
export async function agreeOnPartitionCount(nc: Bus, wanted: number | undefined, replicas: number): Promise<number> {
  const bucket = await ensureBucket(nc, PARTITIONS_BUCKET, { replicas });
  // Of several processes that start at once, one writes the row, and all of them read it.
  if ((await bucket.get(KEY)) === undefined) await bucket.putAfter(KEY, 0, String(wanted ?? PARTITIONS_DEFAULT));
  return agreed(await partitionCount(nc), wanted);
}

/**
 * Throws `BUS_MISMATCH` when there are logs with records, but not their count: with another one, rooms would get other orders. Throws
 * `BUS_UNAVAILABLE`.
 */
export async function refuseLogsWithoutCount(nc: Bus): Promise<void> {
  if ((await storedPartitionCount(nc)) !== undefined) return;
  const found: number[] = [];
  await eachAtOnce(Array(LOGS_LOOKED_FOR).keys(), STREAMS_AT_ONCE, async (partition) => {
    const log = await streamState(nc, logStream(partition));
    // An operator may have made it beforehand, with limits. Without a record, it gives no orders.
    if (log !== undefined && log.last > 0) found.push(partition);
  });
  // The count is written before the first log is made: another process may have done both meanwhile.
  if (found.length === 0 || (await storedPartitionCount(nc)) !== undefined) return;
  throw new TidemarkError(
    "BUS_MISMATCH",
    `the broker has logs, up to ${logStream(Math.max(...found))}, and the bucket ${PARTITIONS_BUCKET} doesn't say how many there are. Nothing was made. Write the count again, as docs/operations.md says ("The counts are gone")`,
  );
}

export interface Counts {
  readonly partitions: number;
  readonly shards: number;
}

/** Writes the counts again that a running process knows, where the bucket is gone. Throws `BUS_UNAVAILABLE`. */
export async function restoreCounts(nc: Bus, { partitions, shards }: Counts, replicas: number): Promise<void> {
  const bucket = await ensureBucket(nc, PARTITIONS_BUCKET, { replicas });
  await bucket.putAfter(SHARDS_KEY, 0, String(shards));
  await bucket.putAfter(LOGS_KEY, 0, MADE);
  await bucket.putAfter(KEY, 0, String(partitions));
}

/** Whether all logs were made once. Throws `BUS_UNAVAILABLE`. */
export async function areLogsMade(nc: Bus): Promise<boolean> {
  return (await new Bucket(nc, PARTITIONS_BUCKET).get(LOGS_KEY)) !== undefined;
}

/** Says that all logs are made. Throws `BUS_UNAVAILABLE`. */
export async function noteLogsMade(nc: Bus): Promise<void> {
  await new Bucket(nc, PARTITIONS_BUCKET).putAfter(LOGS_KEY, 0, MADE);
}

/** How many shards federation has. Throws `BUS_UNAVAILABLE` when no worker has made the streams yet. */
export async function federationShards(nc: Bus): Promise<number> {
  const count = await storedCount(nc, SHARDS_KEY, "shard count");
  if (count === undefined) throw noLogs();
  return count;
}

/** Writes `FEDERATION_SHARDS` unless there is a shard count. Returns the stored one. */
export async function agreeOnFederationShards(nc: Bus, replicas: number): Promise<number> {
  const bucket = await ensureBucket(nc, PARTITIONS_BUCKET, { replicas });
  if ((await bucket.get(SHARDS_KEY)) === undefined) await bucket.putAfter(SHARDS_KEY, 0, String(FEDERATION_SHARDS));
  return federationShards(nc);
}

function agreed(count: number, wanted: number | undefined): number {
  if (wanted === undefined || wanted === count) return count;
  throw new TidemarkError(
    "BUS_MISMATCH",
    `the logs were made with ${count} partitions, not ${wanted}: the count can't change. Leave --partitions out, or use another broker.`,
  );
}

function noLogs(): TidemarkError {
  return new TidemarkError("BUS_UNAVAILABLE", "no Tidemark has made its logs on this broker yet: start a worker first");
}
