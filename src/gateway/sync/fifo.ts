/** A queue whose items are also found by index. An array alone takes long to shift when it is long. */

/** Items that were removed stay until there are so many, and as many as the others. */
const REMOVED_MIN = 64;

export class Fifo<T> implements Iterable<T> {
  #items: (T | undefined)[] = [];
  #removed = 0;

  get length(): number {
    return this.#items.length - this.#removed;
  }

  /** Returns undefined beyond either end. */
  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#items[this.#removed + index];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Removes the first item. */
  shift(): void {
    if (this.length === 0) return;
    this.#items[this.#removed++] = undefined;
    if (this.#removed < REMOVED_MIN || this.#removed < this.length) return;
    this.#items = this.#items.slice(this.#removed);
    this.#removed = 0;
  }

  /** Removes the items for which the predicate is false. */
  filter(keeps: (item: T) => boolean): void {
    this.#items = [...this].filter(keeps);
    this.#removed = 0;
  }

  /** Returns the items from an index on. */
  from(index: number): T[] {
    return this.#items.slice(this.#removed + index) as T[];
  }

  /** Returns the index of the first item that the predicate is true for, as it is for all after it. */
  search(isFound: (item: T) => boolean): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isFound(this.at(middle)!)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.from(0).values();
  }
}
