/**
 * Work that can be interrupted: a generator that yields where others may go on. In a process that serves others it is done in
 * slices (`in-slices.ts`), elsewhere at once. Nothing here needs Node: the inspector's page does such work, too.
 */
export type Sliced<T> = Generator<void, T>;

/** Does all of the work. */
export function finished<T>(work: Sliced<T>): T {
  let step = work.next();
  while (!step.done) step = work.next();
  return step.value;
}
