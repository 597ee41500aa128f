/**
 * Work that can be interrupted: a generator that yields where others may go on. In a process that serves others, it runs
 * in slices; elsewhere at once.
 */

/** No slice is begun that makes a turn of the event loop longer, but the last step of one may take longer. */
const SLICE_MS = 10;

export type Sliced<T> = Generator<undefined, T>;

/** Does all of the work. */
export function finished<T>(work: Sliced<T>): T {
  let step = work.next();
  while (!step.done) step = work.next();
  return step.value;
}

/** Does the work. After each slice it awaits `others`, which resolves when others had their turn. */
export async function inSlices<T>(work: Sliced<T>, others: () => Promise<unknown>): Promise<T> {
  let began = performance.now();
  for (let step = work.next(); ; step = work.next()) {
    if (step.done) return step.value;
    if (performance.now() - began < SLICE_MS) continue;
    await others();
    began = performance.now();
  }
}
