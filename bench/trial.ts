/**
 * A trial of the benchmark: it measures figures that depend on the amount of data, not on the rate at which it is sent.
 * Each trial is one file in `trials/`, in the list of `trials/index.ts`. It runs in its own process, after the rounds
 * of the cases, so that no trial starts with the heap of another.
 */
import type { Figure } from "./case.ts";

/** `quick` has smaller sizes, or fewer repetitions; titles name the sizes. */
export type Scale = "full" | "quick";

export interface TrialContext {
  readonly scale: Scale;
  /** An empty directory, removed afterwards. */
  readonly dir: string;
  /** Runs the compiled code of `npm run build` instead of the sources. */
  readonly built: boolean;
  /** The folder for a CPU profile of Tidemark. */
  readonly profile: string | undefined;
}

export interface Measured extends Figure {
  /** One value per repetition. */
  readonly values: readonly number[];
}

export interface Trial {
  readonly id: string;
  /** Whether it runs only if `--cases` names it. */
  readonly isOnDemand?: boolean;
  measure(context: TrialContext): Promise<readonly Measured[]>;
}

/** A trial that is measured for one size after the other. */
export function trialOfSizes(
  id: string,
  sizes: Readonly<Record<Scale, readonly number[]>>,
  measure: (size: number, context: TrialContext) => Promise<readonly Measured[]>,
): Trial {
  return {
    id,
    measure: async (context) => {
      const measured: Measured[] = [];
      for (const size of sizes[context.scale]) measured.push(...(await measure(size, context)));
      return measured;
    },
  };
}
