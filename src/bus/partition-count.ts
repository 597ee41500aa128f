/** The partition count, for whoever does not make the logs. */
import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError } from "../errors.ts";
import { CLUSTER_READY_MS_MAX, CLUSTER_READY_POLL_MS } from "../limits.ts";
import { type Bus, isNotFound, isTransient, translate } from "./client/connection.ts";
import { PARTITIONS_BUCKET } from "./contract/subjects.ts";

const PARTITIONS_KEY = "partitions";

/**
 * Waits for the worker that makes the logs, if need be. Throws `BUS_UNAVAILABLE` when none comes within a minute,
 * `BUS_MISMATCH` when the count is not the one that is `wanted`.
 */
export async function awaitPartitionCount(nc: Bus, wanted?: number): Promise<number> {
  const deadline = performance.now() + CLUSTER_READY_MS_MAX;
  for (;;) {
    const count = await storedCount(nc);
    if (count !== undefined) {
      if (wanted === undefined || wanted === count) return count;
      throw new TidemarkError("BUS_MISMATCH", `the logs were made with ${count} partitions, not ${wanted}`);
    }
    if (performance.now() > deadline) {
      throw new TidemarkError("BUS_UNAVAILABLE", "no worker has made the logs on this broker: start one first");
    }
    await delay(CLUSTER_READY_POLL_MS);
  }
}

/** undefined when there is none, or it can't be read at the moment. */
export async function storedCount(nc: Bus): Promise<number | undefined> {
  try {
    const bucket = await nc.jetstream({ checkAPI: false }).views.kv(PARTITIONS_BUCKET, { bindOnly: true });
    const count = Number((await bucket.get(PARTITIONS_KEY))?.string());
    return Number.isInteger(count) && count > 0 ? count : undefined;
  } catch (error) {
    if (isNotFound(error) || isTransient(error)) return undefined;
    throw translate(error, "read the partition count");
  }
}
