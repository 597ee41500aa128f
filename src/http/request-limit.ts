/**
 * Limits the requests of each user, or of each address, to a maximum per time window. All keys share one window, so the
 * counts are simply cleared when it ends.
 */
interface RequestLimitOptions {
  readonly max: number;
  readonly windowMs: number;
  /** A monotonic clock, ms. Default: `performance.now`. */
  readonly now?: () => number;
}

export class RequestLimit<Key extends string> {
  readonly #max: number;
  readonly #windowMs: number;
  readonly #now: () => number;
  readonly #counts = new Map<Key, number>();
  #endsAt = Number.NEGATIVE_INFINITY;

  constructor({ max, windowMs, now = () => performance.now() }: RequestLimitOptions) {
    this.#max = max;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  /** Counts a request. Returns undefined if it is allowed, otherwise how long its sender has to wait, ms. */
  take(key: Key): number | undefined {
    const waitMs = this.waitMs(key);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return waitMs;
  }

  /** Returns undefined if another request is allowed, otherwise how long its sender has to wait, ms. Counts nothing. */
  waitMs(key: Key): number | undefined {
    const now = this.#now();
    if (now >= this.#endsAt) {
      this.#counts.clear();
      this.#endsAt = now + this.#windowMs;
    }
    return (this.#counts.get(key) ?? 0) >= this.#max ? Math.ceil(this.#endsAt - now) : undefined;
  }
}
