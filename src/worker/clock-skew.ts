/**
 * How far clocks differ from the broker's, which is on the way of everything. Nothing depends on it: it is for operators, because
 * timestamps of receipts, `at` of records and log lines come from these clocks.
 *
 * - `worker`: this process. The broker stamps its heartbeats, which come back at once.
 * - `ingress`: whichever ingress stored the record whose clock differs most. Only records that are appended now are compared:
 *   those of an import are older than the broker's stamp.
 */
import type { Conditions } from "../conditions.ts";
import { CLOCK_SKEW_WARN_MS } from "../limits.ts";

type Clock = "worker" | "ingress";

/** One clock may be right and the next one wrong, so the greatest difference of this time counts. */
const WINDOW_MS = 60_000;

interface Seen {
  since: number;
  /** The greatest difference since then, and in the window before; ms ahead of the broker. */
  now: number;
  before: number;
}

export class ClockSkew {
  readonly #conditions: Pick<Conditions, "set">;
  readonly #monotonic: () => number;
  readonly #seen = new Map<Clock, Seen>();

  /** `monotonic`: ms. Default: `performance.now`. */
  constructor(conditions: Pick<Conditions, "set">, monotonic: () => number = () => performance.now()) {
    this.#conditions = conditions;
    this.#monotonic = monotonic;
  }

  /** `aheadMs`: how far the clock is ahead of the broker's; negative when it is behind. */
  observe(clock: Clock, aheadMs: number): void {
    const at = this.#monotonic();
    let seen = this.#seen.get(clock);
    if (seen === undefined) {
      seen = { since: at, now: 0, before: 0 };
      this.#seen.set(clock, seen);
    } else if (at - seen.since >= WINDOW_MS) {
      seen.before = at - seen.since < 2 * WINDOW_MS ? seen.now : 0;
      seen.now = 0;
      seen.since = at;
    }
    seen.now = farther(seen.now, aheadMs);
    const greatest = farther(seen.now, seen.before);
    this.#conditions.set(Math.abs(greatest) >= CLOCK_SKEW_WARN_MS, "clock_skew", clock, {
      aheadMs: Math.round(greatest),
    });
  }

  /** The greatest difference of the last minute or two in which there was something to compare. */
  *readings(): Generator<readonly [clock: Clock, aheadMs: number]> {
    for (const [clock, { now, before }] of this.#seen) yield [clock, farther(now, before)];
  }
}

function farther(a: number, b: number): number {
  return Math.abs(b) > Math.abs(a) ? b : a;
}
