/** Something that may happen often, and is worth a line of the log now and then. */
const EVERY_MS = 60_000;

export class Occasional {
  readonly #now: () => number;
  #quietUntil = Number.NEGATIVE_INFINITY;
  #times = 0;

  /** `now`: a clock that never runs backwards, in ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Calls `say` at once if it was not called for a minute, with how often this has happened since then. */
  happened(say: (times: number) => void, times = 1): void {
    this.#times += times;
    const now = this.#now();
    if (now < this.#quietUntil) return;
    this.#quietUntil = now + EVERY_MS;
    say(this.#times);
    this.#times = 0;
  }
}
