/** A room's rows of one table, by name. An active room has one for each table, so they hold no closures of their own. */
import type { Database } from "lmdb";
import type { Rows } from "../../actors/room/table.ts";
import { keyPart, nameAndValue } from "./keys.ts";

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
    const part = keyPart(key);
    const stored = get(table, [this.#number, part]);
    return stored === undefined ? undefined : parse(key, nameAndValue(part, stored)[1]);
  }

  *entries(): Generator<readonly [K, V]> {
    const { table, parse } = this.#reader;
    for (const { key, value: stored } of table.getRange({ start: [this.#number], end: [this.#number + 1] })) {
      const [name, value] = nameAndValue((key as [number, string])[1], stored);
      yield [name as K, parse(name as K, value)] as const;
    }
  }
}
