/** What metrics have in common. */
import type { Counter } from "prom-client";

export const LATENCY_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export const MS_PER_SECOND = 1_000;

/**
 * Exposes a counter's series before the first count. `increase()` takes the first sample of a series as its start, so what a
 * new series begins with is never seen: an alert would miss the first failure.
 */
export function fromZero<Value extends string>(counter: Counter, label: string, values: Record<Value, true>): void {
  for (const value in values) counter.inc({ [label]: value }, 0);
}
