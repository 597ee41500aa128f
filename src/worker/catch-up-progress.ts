import type { Logger } from "pino";
import type { Partition } from "./partition.ts";

/** How often a worker that is catching up reports its progress: to a progress bar, and in its log. */
const PROGRESS_MS = 200;
const LOG_MS = 10_000;

interface CatchUpProgressOptions {
  readonly partitions: ReadonlyMap<number, Pick<Partition, "folded" | "end">>;
  readonly log: Logger;
  /** Called with the numbers of folded records and of all records of the logs. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Reports how far a worker has folded its logs, until it is closed. */
export class CatchUpProgress {
  readonly #options: CatchUpProgressOptions;
  readonly #timer = setInterval(() => this.#report(), PROGRESS_MS);
  #loggedAt = performance.now();

  constructor(options: CatchUpProgressOptions) {
    this.#options = options;
  }

  /** Reports once more, and then no longer. */
  close(): void {
    clearInterval(this.#timer);
    this.#report();
  }

  #report(): void {
    const { partitions, log, onProgress } = this.#options;
    let done = 0;
    let total = 0;
    for (const { folded, end } of partitions.values()) {
      done += Math.min(folded, end);
      total += end;
    }
    onProgress?.(done, total);
    const now = performance.now();
    if (now - this.#loggedAt < LOG_MS) return;
    this.#loggedAt = now;
    log.info({ folded: done, records: total }, "folding the log");
  }
}
