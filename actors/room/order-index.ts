/**
 * An index of events by order: of all events of a room, or of those that relate to one of them. A page of it costs what the
 * page has, not what the room has. State changes are indexed alike (`state-changes.ts`).
 *
 * Live events have the greatest orders of their room, history and backfill the smallest (F1). So what the store doesn't have yet
 * lies beyond one end or the other of what it has:
 *
 *     ◀── older, since the last checkpoint ──┃── the store ──┃── live, since the last checkpoint ──▶
 *
 * An imported event may carry any order; it is put in its place among those that aren't stored yet.
 */
import type { EventId } from "../../src/matrix/ids.ts";
import type { Order } from "../entry.ts";

/** Which events: all of the room (`ALL`), or those that relate to this one. */
export type Related = EventId | typeof ALL;
export const ALL = "";

/** The key of the events that relate to one in this way, of all types or of one. A type may have any characters. */
export function relationKey(target: EventId, relType: string, eventType?: string): string {
  const key = `${relType.length} ${relType} ${target}`;
  return eventType === undefined ? key : `${eventType.length} ${eventType} ${key}`;
}

export interface OrderRange {
  /** b: towards older events. */
  readonly dir: "b" | "f";
  /** Both exclusive. */
  readonly above: Order;
  readonly below: Order;
}

const EVERY_ORDER = { dir: "f", above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY } as const;

export type Ordered<V> = readonly [order: Order, value: V];

/** The part of the index that a store has. */
export interface OrderRows<V, Of extends string = Related> {
  range(of: Of, range: OrderRange): Iterable<Ordered<V>>;
}

type Added<V, Of> = Map<Of, Ordered<V>[]>;

export class OrderIndex<V, Of extends string = Related> {
  readonly #stored: OrderRows<V, Of> | undefined;
  /** Not collected for a checkpoint yet; undefined when empty. */
  #added: Added<V, Of> | undefined;
  /** Collected, and not stored yet. */
  #collected: Added<V, Of> | undefined;

  constructor(stored?: OrderRows<V, Of>) {
    this.#stored = stored;
  }

  add(of: Of, order: Order, value: V): void {
    this.#added ??= new Map();
    const rows = this.#added.get(of);
    if (rows === undefined) this.#added.set(of, [[order, value]]);
    else rows.push([order, value]);
  }

  /** The rows of a range, in its direction. Reads no more than is consumed. */
  *range(of: Of, range: OrderRange = EVERY_ORDER): Generator<Ordered<V>> {
    const { dir, above, below } = range;
    const sign = dir === "f" ? 1 : -1;
    const recent = [...(this.#collected?.get(of) ?? []), ...(this.#added?.get(of) ?? [])]
      .filter(([order]) => order > above && order < below)
      .sort(([a], [b]) => sign * (a - b));
    let at = 0;
    if (this.#stored !== undefined) {
      for (const row of this.#stored.range(of, range)) {
        while (at < recent.length && sign * (recent[at]![0] - row[0]) < 0) yield recent[at++]!;
        yield row;
      }
    }
    while (at < recent.length) yield recent[at++]!;
  }

  /** Calls back with each row that was added since the last call. They stay in memory until `committed`. */
  collect(each: (of: Of, order: Order, value: V) => void): void {
    this.#collected = this.#added;
    this.#added = undefined;
    for (const [of, rows] of this.#collected ?? []) for (const [order, value] of rows) each(of, order, value);
  }

  /** Called when the store has the collected rows. */
  committed(): void {
    this.#collected = undefined;
  }
}
