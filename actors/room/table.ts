/**
 * Rows of one kind of a room: those in memory, over those in a store.
 *
 *     get ──▶ hot ──miss──▶ cold (read, and kept hot)          set ──▶ hot, changed
 *     take ──▶ the changed rows, for a checkpoint              kept ──▶ they are in the store now: any of them may cool
 *
 * What changed stays in memory until the store has it, so a row that is read again is never an older one.
 */

/** Rows that a store has. Synchronous: a fold never waits. */
export interface Rows<K, V> {
  get(key: K): V | undefined;
  entries(): Iterable<readonly [K, V]>;
}

export class Table<K, V> {
  readonly #hot = new Map<K, V>();
  readonly #cold: Rows<K, V> | undefined;
  /** undefined: none. Most tables of most rooms have none, and there are tens of thousands of tables. */
  #changed: Set<K> | undefined;
  #taken: Set<K> | undefined;

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

  set(key: K, value: V): void {
    this.#hot.set(key, value);
    this.touch(key);
  }

  /** Says that a row which was read just now has been changed in place. */
  touch(key: K): void {
    this.#changed ??= new Set();
    this.#changed.add(key);
  }

  /** Whether a row has changed since the last `take`. */
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
    for (const keys of [this.#taken, this.#changed]) {
      for (const key of keys ?? []) {
        if (keys === this.#changed && this.#taken?.has(key)) continue;
        if (this.#cold.get(key) === undefined) yield [key, this.#hot.get(key)!];
      }
    }
  }

  /** Hands out the rows that changed since the last time. They count as unstored until `kept`. */
  take(each: (key: K, value: V) => void): void {
    this.#taken = this.#changed;
    this.#changed = undefined;
    if (this.#taken !== undefined) for (const key of this.#taken) each(key, this.#hot.get(key)!);
  }

  /** What was taken is stored. At most `hotMax` rows stay in memory, the latest to get there. */
  kept(hotMax: number): void {
    this.#taken = undefined;
    let surplus = this.#hot.size - hotMax;
    if (surplus <= 0 || this.#cold === undefined) return;
    for (const key of this.#hot.keys()) {
      if (surplus-- <= 0) return;
      if (!this.#changed?.has(key)) this.#hot.delete(key);
    }
  }
}
