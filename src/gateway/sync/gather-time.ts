/**
 * How long changes are gathered into one `/sync` response per device: `SYNC_GATHER_MS`, and longer under overload.
 *
 * Without this, an overloaded gateway cannot recover: each long turn of the event loop answers every waiting device,
 * they all sync again at once, and so the next turn is as long. Answering each device less often than once per turn
 * leaves the gateway with spare time, and it catches up.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { SYNC_GATHER_MS, SYNC_GATHER_MS_MAX } from "../../limits.ts";

/** How often a gateway checks whether it is behind. */
const GATHER_CHECK_MS = 200;

/** Sampling interval of the event loop delay, ms. Shorter turns are not measured. */
const RESOLUTION_MS = 10;
/** Changes are gathered for this many turns of the event loop. */
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

/**
 * `turnMs`: the mean interval between samples of the event loop, ms; `RESOLUTION_MS` when idle, NaN without samples.
 */
export function gatherMs(turnMs: number): number {
  const wanted = TURNS * (turnMs - RESOLUTION_MS);
  return wanted > SYNC_GATHER_MS ? Math.min(wanted, SYNC_GATHER_MS_MAX) : SYNC_GATHER_MS;
}
