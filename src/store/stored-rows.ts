/** A room's rows of one table. Each active room has several of these objects, so they hold no closures of their own. */
import type { Database } from "lmdb";
import type { Rows } from "../../actors/room/table.ts";

export type Key = string | (string | number)[];

/** How the rows of one table are read. All rooms of a partition share it. */
export interface RowReader<K, V> {
  readonly table: Database<unknown, Key>;
  /** Returns a row; undefined when it doesn't exist. */
  readonly get: (table: Database<unknown, Key>, key: Key) => unknown;
  readonly parse: (key: K, value: unknown) => V;
}

export class StoredRows<K extends string, V> implements Rows<K, V> {
  readonly #reader: RowReader<K, V>;
  /** The room's number in the store. */
  readonly #number: number;

  constructor(reader: RowReader<K, V>, number: number) {
    this.#reader = reader;
    this.#number = number;
  }

  get(key: K): V | undefined {
    const { table, get, parse } = this.#reader;
    const value = get(table, [this.#number, key]);
    return value === undefined ? undefined : parse(key, value);
  }

  *entries(): Generator<readonly [K, V]> {
    const { table, parse } = this.#reader;
    for (const { key, value } of table.getRange({ start: [this.#number], end: [this.#number + 1] })) {
      const name = (key as [number, K])[1];
      yield [name, parse(name, value)] as const;
    }
  }
}
