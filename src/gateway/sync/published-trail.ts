/**
 * How far a partition was published after each of its recent deltas. The deltas of a partition have no holes, so one
 * number per delta is enough.
 */
import type { Position } from "../../../actors/entry.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import { Fifo } from "./fifo.ts";

export class PublishedTrail {
  readonly #published = new Fifo<Position>();
  #floor: number;

  constructor({ sequence, published }: Pick<DeltaMark, "sequence" | "published">) {
    this.#floor = sequence;
    this.#published.push(published);
  }

  /** The first sequence that is covered. */
  get floor(): number {
    return this.#floor;
  }

  /** Adds the next delta. */
  add({ published }: Pick<DeltaMark, "published">): void {
    this.#published.push(published);
  }

  /** Returns undefined for a sequence that is not covered. */
  at(sequence: number): Position | undefined {
    return this.#published.at(sequence - this.#floor);
  }

  /** Raises the floor to this sequence. */
  dropBefore(sequence: number): void {
    for (; this.#floor < sequence; this.#floor++) this.#published.shift();
  }
}
