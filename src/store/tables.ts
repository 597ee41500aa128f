/** The tables of a partition's store, and the keys of their rows. Most begin with the number of a room. */
import type { Database, RootDatabase } from "lmdb";
import type { Order, Position } from "../../actors/entry.ts";
import type { Marker } from "../../actors/room/marker.ts";
import type { Ordered, OrderRange } from "../../actors/room/order-index.ts";
import { keyPart } from "./keys.ts";
import type { Key } from "./stored-rows.ts";

const TABLES = [
  "rooms",
  "events",
  "orders",
  "relations",
  "relationsByType",
  "threads",
  "threadSenders",
  "threadActivity",
  "markers",
  "markerPlaces",
  "members",
  "memberships",
  "joined",
  "joins",
  "redactions",
  "erasures",
  "state",
  "stateChanges",
  "statePlaces",
  "stateBodies",
  "held",
  "unsettled",
  "sent",
  "sentInThreads",
  "unread",
] as const;
export type TableName = (typeof TABLES)[number];

/** The tables, and `meta`. */
export const TABLES_MAX = TABLES.length + 1;

export type Tables = Readonly<Record<TableName, Database<unknown, Key>>>;

export function openTables(root: RootDatabase): Tables {
  const opened = TABLES.map((name) => [name, root.openDB<unknown, Key>({ name })]);
  return Object.fromEntries(opened) as Tables;
}

/** Beyond every part of a key: names begin with a sigil or a letter, digests with `~`. */
export const LAST_TEXT = "~~";
/** After every position and order. */
export const LAST = Number.MAX_SAFE_INTEGER;
/** The key says everything. */
export const KEY_ONLY = 0;

export function markerKey(number: number, marker: Marker): Key {
  return [number, ...slotOf(marker)];
}

export function markerPlace(number: number, position: Position, marker: Marker): Key {
  return [number, position, ...slotOf(marker)];
}

function slotOf({ user, type, thread, inferred }: Marker): [string, string, string] {
  return [keyPart(user), inferred ? `?${type}` : type, thread === null ? "" : keyPart(thread)];
}

/** Rows whose last part of the key is an order. */
export function* ordered<V>(
  table: Database<unknown, Key>,
  of: readonly (string | number)[],
  { dir, above, below }: OrderRange,
): Generator<Ordered<V>> {
  const low: Key = [...of, Math.max(above, -LAST)];
  const high: Key = [...of, Math.min(below, LAST)];
  const rows =
    dir === "f"
      ? table.getRange({ start: low, exclusiveStart: true, end: high })
      : table.getRange({ start: high, exclusiveStart: true, end: low, reverse: true });
  for (const { key, value } of rows) yield [(key as (string | number)[]).at(-1) as Order, value as V];
}

export function* mapped<R, V>(rows: Iterable<Ordered<R>>, parse: (row: R) => V): Generator<Ordered<V>> {
  for (const [order, row] of rows) yield [order, parse(row)];
}
