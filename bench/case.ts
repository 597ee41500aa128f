/**
 * A case of the benchmark. Each case is one file in `cases/`, in the list of `main.ts`.
 *
 *     prepare ──▶ run (the part that is measured) ──▶ dispose
 *
 * Cases take turns, round after round, so that a change in the speed of the machine affects all of them alike.
 */
import type { World } from "./world.ts";

type Unit = "1/s" | "ms" | "µs" | "s" | "KiB" | "MiB" | "×" | "questions";

export interface Figure {
  /** Unique over all cases. `--json` and ratios use it. */
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
}

export interface Load extends AsyncDisposable {
  /** Runs for about this many seconds. Returns the values of the figures, by id. Throws if something was lost. */
  run(seconds: number): Promise<Readonly<Record<string, number>>>;
}

export interface Case {
  readonly id: string;
  readonly figures: readonly Figure[];
  prepare(world: World): Promise<Load>;
}
