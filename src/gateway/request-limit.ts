/**
 * Limits the requests of each user to a maximum per time window. All users share one window, so the counts are simply
 * cleared when it ends.
 */
import type { UserId } from "../matrix/ids.ts";

interface RequestLimitOptions {
  readonly max: number;
  readonly windowMs: number;
  /** A monotonic clock, ms. Default: `performance.now`. */
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

  /** Counts a request. Returns undefined if it is allowed, otherwise how long the user has to wait, ms. */
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
