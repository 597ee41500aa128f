/**
 * What a case of the benchmark is. A case is one file in `cases/`, named in the list of `main.ts`.
 *
 *     prepare ──▶ run (the part that is measured) ──▶ dispose
 *
 * Cases take turns, round after round, so that a machine whose speed drifts is equally unfair to all of them.
 */
import type { World } from "./world.ts";

type Unit = "1/s" | "ms" | "µs" | "s" | "KiB" | "MiB" | "×";

export interface Figure {
  /** Unique over all cases: what `--json` and ratios call it. */
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
}

export interface Load extends AsyncDisposable {
  /** Runs for about so many seconds. Returns a value for each figure, by id. Throws when something was lost. */
  run(seconds: number): Promise<Readonly<Record<string, number>>>;
}

export interface Case {
  readonly id: string;
  readonly figures: readonly Figure[];
  prepare(world: World): Promise<Load>;
}
