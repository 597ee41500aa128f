/**
 * What an owner has folded and not published yet: how old it is, and how long it took once it is. Only deltas count, not what goes to
 * other servers, which waits for its window, and only records that came while the owner was up to date.
 */
import { lastPositionOf, type PlacedRecord, type Position } from "../../actors/entry.ts";

interface Fetch {
  readonly through: Position;
  /** When its first record was appended, by ingress's clock: Unix time in ms. */
  readonly appendedAt: number;
  /** `performance.now()` */
  readonly foldedAt: number;
}

export class Unpublished {
  readonly #published: (sinceAppendMs: number) => void;
  readonly #fetches: Fetch[] = [];

  /** `published`: called once per fetch. */
  constructor(published: (sinceAppendMs: number) => void) {
    this.#published = published;
  }

  /** Called once per fetch, after it is folded. `through`: the position through which everything is published. */
  folded(fetch: readonly PlacedRecord[], through: Position): void {
    const last = lastPositionOf(fetch.at(-1)!.record.sequence);
    if (last <= through) return; // Nothing of it has to be published.
    this.#fetches.push({ through: last, appendedAt: fetch[0]!.record.at, foldedAt: performance.now() });
  }

  /** Called when more is published. */
  settle(through: Position): void {
    const rest = this.#fetches.findIndex((fetch) => fetch.through > through);
    const done = this.#fetches.splice(0, rest === -1 ? this.#fetches.length : rest);
    for (const { appendedAt } of done) this.#published(Date.now() - appendedAt);
  }

  /** Since when the oldest change has waited, ms; 0 when none waits. */
  get oldestMs(): number {
    const [oldest] = this.#fetches;
    return oldest === undefined ? 0 : performance.now() - oldest.foldedAt;
  }
}
