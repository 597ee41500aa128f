/**
 * What a trial of the benchmark is: a figure that depends on how much there is, not on how fast it is sent. A trial is
 * one file in `trials/`, named in the list of `trials/index.ts`, and runs in a process of its own, after the rounds of
 * the cases, so that no trial inherits another's heap.
 */
import type { Figure } from "./case.ts";

/** `quick` has smaller sizes, or fewer repetitions; titles name the sizes. */
export type Scale = "full" | "quick";

export interface TrialContext {
  readonly scale: Scale;
  /** An empty directory, removed afterwards. */
  readonly dir: string;
  /** Tidemark as `npm run build` left it, not from its sources. */
  readonly built: boolean;
  /** Where Tidemark leaves a CPU profile. */
  readonly profile: string | undefined;
}

export interface Measured extends Figure {
  /** One for each repetition. */
  readonly values: readonly number[];
}

export interface Trial {
  readonly id: string;
  measure(context: TrialContext): Promise<readonly Measured[]>;
}
