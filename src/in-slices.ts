/** Long work of which each turn of the event loop does a slice, so that nobody else waits for it. */
import { setImmediate as nextTurn } from "node:timers/promises";

/** Work that may be interrupted wherever it yields, and its result. */
export type Steps<T> = Generator<void, T>;

const SLICE_MS = 4;

/** One that never runs backwards, in ms. */
interface Clock {
  readonly now: () => number;
}

/** Does the work. */
export async function inSlices<T>(steps: Steps<T>, clock: Clock = performance): Promise<T> {
  const slices = new Slices(clock);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    const pause = slices.pause();
    if (pause !== undefined) await pause;
  }
}

/** The slices of work whose steps come from elsewhere. */
export class Slices {
  readonly #clock: Clock;
  #begun: number;

  constructor(clock: Clock = performance) {
    this.#clock = clock;
    this.#begun = clock.now();
  }

  /** Must be called after each step. Resolves in a later turn if the slice is over; returns undefined otherwise. */
  pause(): Promise<void> | undefined {
    return this.#clock.now() - this.#begun < SLICE_MS ? undefined : this.#nextSlice();
  }

  async #nextSlice(): Promise<void> {
    await nextTurn();
    this.#begun = this.#clock.now();
  }
}

/** Gives many that work at the same time a turn each, in the order in which they ask. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves in a turn of the event loop in which nobody else's resolves. */
  next(): Promise<unknown> {
    this.#last = this.#last.then(() => nextTurn());
    return this.#last;
  }
}
