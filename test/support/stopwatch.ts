import { readFileSync } from "node:fs";

/**
 * Measures how long something takes, for what Tidemark promises about time. What the test's main thread waits for a processor
 * meanwhile is not counted, so that a promise is not broken by other work on the machine.
 */
export class Stopwatch {
  readonly #startedAt = performance.now();
  readonly #waitedBefore = waitedForProcessorMs();

  get ms(): number {
    return performance.now() - this.#startedAt - (waitedForProcessorMs() - this.#waitedBefore);
  }
}

/** Since the process started. Returns 0 where the system does not say it: all but Linux. */
function waitedForProcessorMs(): number {
  try {
    const [, waitedNs] = readFileSync("/proc/self/schedstat", "utf8").split(" ");
    return Number(waitedNs) / 1e6;
  } catch {
    return 0;
  }
}
