/**
 * Maps whose values are bounded together, by the memory that they take. A value that was not used for longest is deleted from
 * its map. A map that is dropped with values in it needs no call: they are evicted like any others.
 */
import { LRUCache } from "lru-cache";

interface Place<K, V> {
  readonly by: Map<K, V>;
  readonly key: K;
}

/** A value stands in one map, under one key. */
export class BoundedMaps<K, V extends object> {
  readonly #places: LRUCache<V, Place<K, V>>;
  readonly #costOf: (value: V) => number;

  /** `costOf`: returns the bytes that a value takes. */
  constructor(bytesMax: number, costOf: (value: V) => number) {
    this.#costOf = costOf;
    this.#places = new LRUCache({
      maxSize: bytesMax,
      dispose: ({ by, key }, _, reason) => {
        if (reason !== "set") by.delete(key);
      },
    });
  }

  get(by: Map<K, V>, key: K): V | undefined {
    const value = by.get(key);
    if (value !== undefined) this.#places.get(value);
    return value;
  }

  /** Also called when the cost of a value has changed. */
  set(by: Map<K, V>, key: K, value: V): void {
    if (by.get(key) !== value) this.delete(by, key);
    by.set(key, value);
    this.#places.set(value, { by, key }, { size: this.#costOf(value) });
    if (!this.#places.has(value)) by.delete(key); // It is larger than all may be together.
  }

  delete(by: Map<K, V>, key: K): void {
    const value = by.get(key);
    if (value !== undefined) this.#places.delete(value);
  }

  clear(by: Map<K, V>): void {
    for (const value of by.values()) this.#places.delete(value);
  }
}
