/** Lets requests through one after the other, so many in a second. */
import { setTimeout as delay } from "node:timers/promises";

const MS_PER_SECOND = 1_000;

export class Pace {
  readonly #everyMs: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#everyMs = MS_PER_SECOND / perSecond;
  }

  /** Resolves when it is the caller's turn. Rejects when the signal is aborted. */
  async pass(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const at = Math.max(now, this.#nextAt);
    this.#nextAt = at + this.#everyMs;
    if (at > now) await delay(at - now, undefined, { signal });
  }
}
