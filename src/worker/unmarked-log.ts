/**
 * Where publishing begins in a log of which nothing says how far it is published: an imported one, or one whose mark is lost
 * (docs/design.md#what-is-published). At the first record that is not older than the delta streams keep deltas, compared with the
 * newest record that the log had at the beginning. The clocks of the records alone are compared: this worker's own may be
 * wrong by days.
 */
import { lastPositionOf, type PlacedRecord, type Position } from "../../actors/entry.ts";
import { DELTAS_AGE_MS } from "../limits.ts";

export class UnmarkedLog {
  readonly #youngFrom: number;
  #found = false;

  /** `newestAt`: the clock of the newest record. */
  constructor(newestAt: number) {
    this.#youngFrom = newestAt - DELTAS_AGE_MS;
  }

  /** The position through which nothing of the next records is due; undefined once the beginning is found. */
  skipped(fetch: readonly PlacedRecord[]): Position | undefined {
    if (this.#found) return undefined;
    const first = fetch.findIndex(({ record }) => record.at >= this.#youngFrom);
    this.#found = first >= 0;
    const last = this.#found ? fetch[first - 1] : fetch.at(-1);
    return last && lastPositionOf(last.record.sequence);
  }
}
