/** Long work of which each turn of the event loop does a slice, so that nobody else waits for it. */
import { setImmediate as nextTurn } from "node:timers/promises";

/** Work that may be interrupted wherever it yields, and its result. */
export type Steps<T> = Generator<void, T>;

const SLICE_MS = 4;

/** Does the work. `clock`: one that never runs backwards, in ms. */
export async function inSlices<T>(steps: Steps<T>, clock: { readonly now: () => number } = performance): Promise<T> {
  let begun = clock.now();
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    if (clock.now() - begun < SLICE_MS) continue;
    await nextTurn();
    begun = clock.now();
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
