/**
 * Holders that hold equally many receipts, and of them the one whose oldest receipt is oldest: a heap by the positions of those.
 *
 * A holder that leaves stays in the heap until its entry comes up, or until half of the entries are such.
 */
import type { Position } from "../entry.ts";

/** Fewer entries are not worth making the heap again. */
const STALE_MIN = 64;

interface HeapEntry {
  readonly holder: string;
  readonly oldest: Position;
}

export class EqualHolders {
  /** The position of each holder's oldest receipt. */
  readonly #oldest = new Map<string, Position>();
  /** A binary heap: an entry is not older than the one above it. */
  #heap: HeapEntry[] = [];

  get size(): number {
    return this.#oldest.size;
  }

  add(holder: string, oldest: Position): void {
    this.#oldest.set(holder, oldest);
    if (this.#heap.length >= 2 * this.size + STALE_MIN) {
      this.#heap = Array.from(this.#oldest, ([holder, oldest]) => ({ holder, oldest }));
      this.#heap.sort((a, b) => a.oldest - b.oldest);
      return;
    }
    this.#heap.push({ holder, oldest });
    this.#rise(this.#heap.length - 1);
  }

  delete(holder: string): void {
    this.#oldest.delete(holder);
  }

  /** The holder with the oldest receipt. */
  first(): string | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#oldest.get(top.holder) === top.oldest) return top.holder;
      const last = this.#heap.pop()!;
      if (this.#heap.length === 0) return undefined;
      this.#heap[0] = last;
      this.#sink();
    }
    return undefined;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    for (let at = from; at > 0; ) {
      const above = (at - 1) >> 1;
      if (heap[above]!.oldest <= heap[at]!.oldest) return;
      [heap[above], heap[at]] = [heap[at]!, heap[above]!];
      at = above;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0; ; ) {
      let least = at;
      for (const below of [2 * at + 1, 2 * at + 2]) {
        if (below < heap.length && heap[below]!.oldest < heap[least]!.oldest) least = below;
      }
      if (least === at) return;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }
}
