/**
 * For how long what changes after an answer is gathered into the next one: `SYNC_GATHER_MS`, and longer while the process
 * is behind.
 *
 * A gateway whose event loop takes long for a turn answers all who wait once a turn, they all ask again at once, and the
 * next turn is as long: it stays behind after what made it late is over, and new receipts wait for several such turns. When
 * devices are answered less often than that, there are fewer answers than the gateway can give, and it catches up.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { GATHER_CHECK_MS, SYNC_GATHER_MS, SYNC_GATHER_MS_MAX } from "../../limits.ts";

/** How often the event loop is timed, ms: no turn shorter than this is seen. */
const RESOLUTION_MS = 10;
/** What changes is gathered for so many turns. */
const TURNS = 3;

export class GatherTime {
  readonly #turns: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  #ms = SYNC_GATHER_MS;

  constructor() {
    this.#turns.enable();
    this.#timer = setInterval(() => {
      this.#ms = gatherMs(this.#turns.mean / 1e6);
      this.#turns.reset();
    }, GATHER_CHECK_MS);
    this.#timer.unref();
  }

  get ms(): number {
    return this.#ms;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#turns.disable();
  }
}

/** `turnMs`: how long turns of the event loop last on average, timed every `RESOLUTION_MS`; NaN when none was. */
export function gatherMs(turnMs: number): number {
  const wanted = TURNS * (turnMs - RESOLUTION_MS);
  return wanted > SYNC_GATHER_MS ? Math.min(wanted, SYNC_GATHER_MS_MAX) : SYNC_GATHER_MS;
}
