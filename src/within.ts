/** An answer within a time, or none. */
import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError } from "./errors.ts";

/** Rejects with `BUS_UNAVAILABLE` when the promise takes longer. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = delay(ms, undefined, { signal: over.signal }).then(() => {
    throw new TidemarkError("BUS_UNAVAILABLE", `no answer within ${ms} ms`);
  });
  late.catch(() => {});
  promise.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}
