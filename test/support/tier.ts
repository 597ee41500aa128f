/**
 * How many cases a test tries, and with which seed. `npm test` has few cases and a fixed seed; `npm run test:long` has
 * many, and another seed each time. A test that takes both from here is one that the long tier runs.
 *
 * `SEED=<number>` repeats a run in either tier.
 */
const LONG_FACTOR = 20;

const IS_LONG = process.env.TIDEMARK_TIER === "long";

export const FAST_SEED = 20_261_122;
export const SEED = Number(process.env.SEED || FAST_SEED);

/** Returns how many cases a test tries: `few` in the fast tier, more in the long one. */
export function cases(few: number): number {
  return IS_LONG ? few * LONG_FACTOR : few;
}
