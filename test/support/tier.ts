/**
 * How much a test tries. `npm test` has a fixed seed and few cases; `npm run test:long` has a seed of its own each time
 * and many. A test that tries cases takes both from here, and so is one that the long tier runs.
 *
 * `SEED=<number>` repeats a run in either tier.
 */
const LONG_FACTOR = 20;

const IS_LONG = process.env.TIDEMARK_TIER === "long";

export const FAST_SEED = 20_261_122;
export const SEED = Number(process.env.SEED || FAST_SEED);

/** How many cases a test tries: `few` in the fast tier. */
export function cases(few: number): number {
  return IS_LONG ? few * LONG_FACTOR : few;
}
