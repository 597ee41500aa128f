import { setTimeout as delay } from "node:timers/promises";
import { isTransient } from "./connection.ts";

/** The first and the longest pause before a read of the bus is repeated. It doubles each time. */
export const BUS_RETRY_MS_MIN = 100;
export const BUS_RETRY_MS_MAX = 2_000;

/** Repeats a read while it fails for a transient reason. Throws any other error, and every error once `signal` is aborted. */
export async function untilReached<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  for (let pause = BUS_RETRY_MS_MIN; ; pause = Math.min(2 * pause, BUS_RETRY_MS_MAX)) {
    try {
      return await read();
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error;
    }
    await delay(pause);
  }
}
