import { SingleBar } from "cli-progress";

/** Work that takes longer than this shows a progress bar on a terminal. */
const PROGRESS_AFTER_MS = 1_000;

interface ProgressOptions {
  /** The bar is drawn here if it is a terminal. Default: standard error. */
  readonly stream?: NodeJS.WriteStream;
  /** A monotonic clock, ms. Default: `performance.now`. */
  readonly now?: () => number;
}

/** A progress bar for work that takes longer than `PROGRESS_AFTER_MS`. Draws nothing if there is no terminal. */
export class Progress {
  readonly #what: string;
  readonly #stream: NodeJS.WriteStream;
  readonly #now: () => number;
  readonly #startedAt: number;
  #bar: SingleBar | undefined;

  constructor(what: string, { stream = process.stderr, now = () => performance.now() }: ProgressOptions = {}) {
    this.#what = what;
    this.#stream = stream;
    this.#now = now;
    this.#startedAt = now();
  }

  readonly update = (done: number, total: number): void => {
    if (!this.#stream.isTTY) return;
    if (this.#bar !== undefined) {
      this.#bar.update(Math.min(done, total));
    } else if (this.#now() - this.#startedAt > PROGRESS_AFTER_MS) {
      this.#bar = new SingleBar({
        format: `${this.#what} {bar} {percentage}% · {eta_formatted} left`,
        hideCursor: true,
        clearOnComplete: true,
        stream: this.#stream,
      });
      this.#bar.start(total, done);
    }
  };

  stop(): void {
    this.#bar?.stop();
  }
}
