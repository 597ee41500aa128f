import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError } from "../../errors.ts";
import { BUS_RETRY_MS_MAX, BUS_RETRY_MS_MIN } from "../../limits.ts";
import { isTransient } from "./connection.ts";

/** Repeats reading from the bus while it can't be reached. Throws what it throws otherwise, or once it was aborted. */
export async function untilReached<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  for (let pause = BUS_RETRY_MS_MIN; ; pause = Math.min(2 * pause, BUS_RETRY_MS_MAX)) {
    try {
      return await read();
    } catch (error) {
      const cause = error instanceof TidemarkError ? error.cause : error;
      if (signal.aborted || !isTransient(cause)) throw error;
    }
    await delay(pause);
  }
}
