/**
 * Rows of one kind of a room: those in memory, over those in a store.
 *
 *     get ──▶ hot ──miss──▶ cold (read, then hot)              set ──▶ hot, changed
 *     collect ──▶ the changed rows, for a checkpoint           committed ──▶ the store has them: they may be evicted
 *
 * A changed row stays in memory until the store has it, so a row that is read again is never an older one.
 */

/** Rows in a store. Synchronous: a fold never waits. */
export interface Rows<K, V> {
  get(key: K): V | undefined;
  entries(): Iterable<readonly [K, V]>;
}

export class Table<K, V> {
  readonly #hot = new Map<K, V>();
  readonly #cold: Rows<K, V> | undefined;
  /** undefined when empty, as it is for most of tens of thousands of tables. */
  #changed: Set<K> | undefined;
  #collected: Set<K> | undefined;

  constructor(cold?: Rows<K, V>) {
    this.#cold = cold;
  }

  get(key: K): V | undefined {
    const hot = this.#hot.get(key);
    if (hot !== undefined || this.#cold === undefined) return hot;
    const cold = this.#cold.get(key);
    if (cold !== undefined) this.#hot.set(key, cold);
    return cold;
  }

  /** As `get`, for one who goes through many rows: one that only the store has doesn't stay in memory. */
  peek(key: K): V | undefined {
    return this.#hot.get(key) ?? this.#cold?.get(key);
  }

  set(key: K, value: V): void {
    this.#hot.set(key, value);
    this.touch(key);
  }

  /** Marks a row as changed that the caller has changed in place. */
  touch(key: K): void {
    this.#changed ??= new Set();
    this.#changed.add(key);
  }

  /** Whether a row has changed since the last `collect`. */
  isChanged(key: K): boolean {
    return this.#changed?.has(key) ?? false;
  }

  /** All rows: the store's, and those that it doesn't have yet. */
  *[Symbol.iterator](): Generator<readonly [K, V]> {
    if (this.#cold === undefined) {
      yield* this.#hot;
      return;
    }
    for (const row of this.#cold.entries()) {
      const hot = this.#hot.get(row[0]);
      yield hot === undefined ? row : [row[0], hot];
    }
    for (const keys of [this.#collected, this.#changed]) {
      for (const key of keys ?? []) {
        if (keys === this.#changed && this.#collected?.has(key)) continue;
        if (this.#cold.get(key) === undefined) yield [key, this.#hot.get(key)!];
      }
    }
  }

  /** Calls back with each row that changed since the last time. The rows stay in memory until `committed`. */
  collect(each: (key: K, value: V) => void): void {
    this.#collected = this.#changed;
    this.#changed = undefined;
    if (this.#collected !== undefined) for (const key of this.#collected) each(key, this.#hot.get(key)!);
  }

  /** Called when the store has the collected rows. Evicts the rows that were read or added first, down to `hotMax`. */
  committed(hotMax: number): void {
    this.#collected = undefined;
    let surplus = this.#hot.size - hotMax;
    if (surplus <= 0 || this.#cold === undefined) return;
    for (const key of this.#hot.keys()) {
      if (surplus-- <= 0) return;
      if (!this.#changed?.has(key)) this.#hot.delete(key);
    }
  }
}
