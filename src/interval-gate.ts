/** Lets through the first call, and then one for each interval: for log lines that would repeat without end. */
export class IntervalGate {
  readonly #everyMs: number;
  readonly #now: () => number;
  #openAt = Number.NEGATIVE_INFINITY;

  /** `now`: a monotonic clock in ms. Default: `performance.now`. */
  constructor(everyMs: number, now: () => number = () => performance.now()) {
    this.#everyMs = everyMs;
    this.#now = now;
  }

  /** Whether this call is let through. */
  pass(): boolean {
    const now = this.#now();
    if (now < this.#openAt) return false;
    this.#openAt = now + this.#everyMs;
    return true;
  }
}
