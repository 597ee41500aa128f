/**
 * Whether a figure stays level over a soak. The first third of the samples is the warm-up, and doesn't count. The rest is cut into
 * `PARTS` of equal length. The slope is that of the straight line through their medians (least squares), so a single collection of
 * garbage or a burst moves it little. What grows by more than the limit, over all the time that counts, is not flat.
 */
import { medianOf } from "./table.ts";

const WARM_UP = 1 / 3;
const PARTS = 8;

/** How much a figure may grow: the larger of the two. */
export interface GrowthLimit {
  readonly absolute: number;
  /** As a share of the median. */
  readonly relative: number;
}

export interface Flatness {
  /** After the warm-up. */
  readonly median: number;
  readonly max: number;
  /** By how much it grew over the time that counts, along its slope. */
  readonly growth: number;
  readonly isFlat: boolean;
}

export function flatnessOf(samples: readonly number[], limit: GrowthLimit): Flatness {
  const counted = samples.slice(Math.floor(samples.length * WARM_UP));
  const parts = Math.min(PARTS, counted.length);
  const medians = Array.from({ length: parts }, (_, i) =>
    medianOf(counted.slice(Math.floor((i * counted.length) / parts), Math.floor(((i + 1) * counted.length) / parts))),
  );
  const median = medianOf(counted);
  const growth = slopeOf(medians) * parts;
  return {
    median,
    max: Math.max(...counted),
    growth,
    isFlat: growth <= Math.max(limit.absolute, limit.relative * median),
  };
}

/** The slope of the straight line through values at 0, 1, 2 … */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let covered = 0;
  let squares = 0;
  values.forEach((value, i) => {
    covered += (i - middle) * (value - mean);
    squares += (i - middle) ** 2;
  });
  return squares === 0 ? 0 : covered / squares;
}
