/** How many requests a user may make: so many in each window. One window for all, so nothing has to be kept beyond it. */
import type { UserId } from "../matrix/ids.ts";

interface RequestLimitOptions {
  readonly max: number;
  readonly windowMs: number;
}

export class RequestLimit {
  readonly #max: number;
  readonly #windowMs: number;
  readonly #counts = new Map<UserId, number>();
  /** `performance.now()` */
  #endsAt = Number.NEGATIVE_INFINITY;

  constructor({ max, windowMs }: RequestLimitOptions) {
    this.#max = max;
    this.#windowMs = windowMs;
  }

  /** Counts a request. Returns for how long the user has to wait, ms, when it is one too many. */
  take(user: UserId): number | undefined {
    const now = performance.now();
    if (now >= this.#endsAt) {
      this.#counts.clear();
      this.#endsAt = now + this.#windowMs;
    }
    const count = (this.#counts.get(user) ?? 0) + 1;
    this.#counts.set(user, count);
    return count > this.#max ? Math.ceil(this.#endsAt - now) : undefined;
  }
}
