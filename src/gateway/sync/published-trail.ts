/**
 * How far a partition was published after each of its recent deltas. The deltas of a partition have no holes, so one
 * number per delta is enough.
 */
import type { Position } from "../../../actors/entry.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";

export class PublishedTrail {
  /** From the floor on. What is before `#dropped` is no longer covered. */
  #published: Position[];
  #dropped = 0;
  /** The sequence of the first number. */
  #first: number;

  constructor({ sequence, published }: DeltaMark) {
    this.#first = sequence;
    this.#published = [published];
  }

  /** The first sequence that is covered. */
  get floor(): number {
    return this.#first + this.#dropped;
  }

  /** Adds the next delta. */
  add({ published }: DeltaMark): void {
    this.#published.push(published);
  }

  /** Returns undefined for a sequence that is not covered. */
  at(sequence: number): Position | undefined {
    return sequence < this.floor ? undefined : this.#published[sequence - this.#first];
  }

  /** Raises the floor to this sequence. */
  dropBefore(sequence: number): void {
    if (sequence <= this.floor) return;
    this.#dropped = sequence - this.#first;
    if (this.#dropped * 2 < this.#published.length) return;
    this.#published = this.#published.slice(this.#dropped);
    this.#first += this.#dropped;
    this.#dropped = 0;
  }
}
