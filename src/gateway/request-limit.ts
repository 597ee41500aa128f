/** How many requests a user may make: so many in each window. One window for all, so nothing has to be kept beyond it. */
import type { UserId } from "../matrix/ids.ts";

interface RequestLimitOptions {
  readonly max: number;
  readonly windowMs: number;
  /** ms, of a clock that never goes back. */
  readonly now?: () => number;
}

export class RequestLimit {
  readonly #max: number;
  readonly #windowMs: number;
  readonly #now: () => number;
  readonly #counts = new Map<UserId, number>();
  #endsAt = Number.NEGATIVE_INFINITY;

  constructor({ max, windowMs, now = () => performance.now() }: RequestLimitOptions) {
    this.#max = max;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  /** Counts a request. Returns for how long the user has to wait, ms, when it is one too many. */
  take(user: UserId): number | undefined {
    const now = this.#now();
    if (now >= this.#endsAt) {
      this.#counts.clear();
      this.#endsAt = now + this.#windowMs;
    }
    const count = (this.#counts.get(user) ?? 0) + 1;
    this.#counts.set(user, count);
    return count > this.#max ? Math.ceil(this.#endsAt - now) : undefined;
  }
}
