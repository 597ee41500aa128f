import { SingleBar } from "cli-progress";
import { PROGRESS_AFTER_MS } from "../limits.ts";

/** A bar on standard error for work that takes longer than `PROGRESS_AFTER_MS`. None when that is no terminal. */
export class Progress {
  readonly #what: string;
  readonly #startedAt = performance.now();
  #bar: SingleBar | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  readonly update = (done: number, total: number): void => {
    if (!process.stderr.isTTY) return;
    if (this.#bar !== undefined) {
      this.#bar.update(Math.min(done, total));
    } else if (performance.now() - this.#startedAt > PROGRESS_AFTER_MS) {
      this.#bar = new SingleBar({
        format: `${this.#what} {bar} {percentage}% · {eta_formatted} left`,
        hideCursor: true,
        clearOnComplete: true,
        stream: process.stderr,
      });
      this.#bar.start(total, done);
    }
  };

  stop(): void {
    this.#bar?.stop();
  }
}
