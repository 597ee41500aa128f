/**
 * A Map in parts. V8 copies a Map when it grows, all of it in one turn of the event loop: some 50 ms at a million entries.
 * Looking up costs one more step for each further part.
 */
export class LargeMap<K, V> {
  readonly #parts: Map<K, V>[] = [new Map()];

  has(key: K): boolean {
    return this.#parts.some((part) => part.has(key));
  }

  /** As in a Map, a key that is there keeps its place. */
  set(key: K, value: V): void {
    const part = this.#parts.find((part) => part.has(key)) ?? this.#open();
    part.set(key, value);
  }

  *[Symbol.iterator](): Generator<readonly [K, V]> {
    for (const part of this.#parts) yield* part;
  }

  #open(): Map<K, V> {
    let last = this.#parts.at(-1)!;
    if (last.size === PART_ENTRIES) {
      last = new Map();
      this.#parts.push(last);
    }
    return last;
  }
}

const PART_ENTRIES = 65_536;
