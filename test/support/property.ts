/**
 * Checks properties with cases that `fast-check` makes, as many as the tier has. A failure prints its seed and path.
 */
import fc from "fast-check";
import { cases, SEED } from "./tier.ts";

const RUNS = 100;

export function check<T>(property: fc.IProperty<T>, parameters: fc.Parameters<T> = {}): void {
  void fc.assert(property, ofTier(parameters));
}

export async function checkAsync<T>(property: fc.IAsyncProperty<T>, parameters: fc.Parameters<T> = {}): Promise<void> {
  await fc.assert(property, ofTier(parameters));
}

function ofTier<T>({ numRuns = RUNS, ...others }: fc.Parameters<T>): fc.Parameters<T> {
  return { seed: SEED, includeErrorInReport: true, ...others, numRuns: cases(numRuns) };
}
