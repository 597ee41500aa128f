import type { Outcome } from "../../actors/room/outcome.ts";

/** What a worker has done since its process began. */
export class WorkerCounts {
  /** Entries and judged receipts by outcome, those that a standby folded included. */
  readonly outcomes = new Map<string, number>();
  /** Messages that were published. */
  deltas = 0;
  /** Partitions that were claimed, handed over to another worker, or lost because their lease ran out. */
  readonly leases = { claimed: 0, handed_over: 0, lost: 0 };

  /** Counts what became of an entry, and of the held receipts that it released or dropped. */
  add(outcome: Outcome): void {
    this.#count(outcome.outcome);
    if (outcome.outcome === "ordered") for (const { judgement } of outcome.judged) this.#count(judgement.outcome);
    else if (outcome.outcome === "held" && outcome.overflow !== undefined) this.#count("rejected");
  }

  /** Counts items of the log that are no entries. */
  noted(items: number): void {
    this.#count("noted", items);
  }

  #count(name: string, times = 1): void {
    this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + times);
  }
}
