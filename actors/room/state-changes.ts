/**
 * What a room's state was, at any order: all changes of each state key, live, of history and of backfill, and those that `state`
 * entries tell (docs/design.md#who-sees-what).
 *
 *      order    ──── 7 ──────── 9 ──────── 9.5 ───── 12 ──▶
 *      change        join       leave      entry     ban
 *
 * An event's change is at its order. A `state` entry has none: it stands half an order behind the newest event that it is known to
 * include, since it applies to all that come after. Of several at one place, the later entry counts.
 *
 * Nothing here is ever removed: what somebody may see depends on how it was then.
 */
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import type { Order, Position } from "../entry.ts";
import { type Ordered, OrderIndex, type OrderRange, type OrderRows } from "./order-index.ts";

/** A state event of a room, when it set its key. */
export interface StateChange {
  readonly position: Position;
  /** Membership or history visibility, for these two types of events. */
  readonly value?: string;
  /** The value before, as the event's `unsigned.prev_content` says. */
  readonly before?: string;
  /** The event of a `state` entry; absent for an event at its own order. */
  readonly entry?: EventId;
}

/** Member events are apart: a reader often wants a few of very many. */
export type StateGroup = "members" | "others";
const GROUPS: readonly StateGroup[] = ["members", "others"];

export interface StatePlace {
  readonly key: string;
  readonly order: Order;
}

/** The rows that a store has. */
export interface StoredStateChanges {
  /** By key and order. */
  readonly byKey: OrderRows<StateChange, string>;
  /** By position. */
  readonly places: OrderRows<StatePlace, StateGroup>;
}

/** Behind an event, and before the next. */
export const HALF_AN_ORDER = 0.5;
/** Less than what is between two changes: for a bound that is inclusive. */
const INCLUSIVE = 0.25;

const DOWNWARDS: OrderRange = { dir: "b", above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY };

export const HISTORY_VISIBILITY_KEY = stateKey("m.room.history_visibility", "");

/** The key of a state event among a room's state. The length keeps two pairs apart: a type may have any characters. */
export function stateKey(type: string, key: string): string {
  return `${type.length} ${type} ${key}`;
}

export function memberKey(user: UserId): string {
  return stateKey("m.room.member", user);
}

const MEMBER_PREFIX = stateKey("m.room.member", "");

export function groupOf(key: string): StateGroup {
  return key.startsWith(MEMBER_PREFIX) ? "members" : "others";
}

/** The type of a state event, from its key among a room's state. */
export function typeOf(key: string): string {
  const begin = key.indexOf(" ") + 1;
  return key.slice(begin, begin + Number.parseInt(key, 10));
}

export class StateChanges {
  readonly byKey: OrderIndex<StateChange, string>;
  readonly places: OrderIndex<StatePlace, StateGroup>;

  constructor(stored?: StoredStateChanges) {
    this.byKey = new OrderIndex(stored?.byKey);
    this.places = new OrderIndex(stored?.places);
  }

  add(key: string, order: Order, change: StateChange): void {
    this.byKey.add(key, order, change);
    this.places.add(groupOf(key), change.position, { key, order });
  }

  /** The key of the change at a position; none if there is no change. */
  *keysAt(position: Position): Generator<string> {
    for (const group of GROUPS) {
      const range: OrderRange = { dir: "f", above: position - 1, below: position + 1 };
      for (const [, { key }] of this.places.range(group, range)) yield key;
    }
  }

  /** The key's change at an order or, if there is none, the nearest below. */
  nearest(key: string, order: Order): Ordered<StateChange> | undefined {
    for (const row of this.downFrom(key, order)) return row;
    return undefined;
  }

  /** The key's changes at an order and below, the greatest order first. */
  *downFrom(key: string, order: Order): Generator<Ordered<StateChange>> {
    yield* last(this.byKey.range(key, { ...DOWNWARDS, below: order + INCLUSIVE }));
  }

  /** The same, of the changes that say a value: others are as if absent, also beside one that does. */
  *valuesDownFrom(key: string, order: Order): Generator<Ordered<StateChange>> {
    yield* last(valued(this.byKey.range(key, { ...DOWNWARDS, below: order + INCLUSIVE })));
  }

  /** The key's changes above an order that say a value, the smallest order first. */
  *valuesUpFrom(key: string, order: Order): Generator<Ordered<StateChange>> {
    const range: OrderRange = { dir: "f", above: order + INCLUSIVE, below: Number.POSITIVE_INFINITY };
    yield* last(valued(this.byKey.range(key, range)));
  }

  /**
   * The key's greatest change of those up to a position that say a value: the current one then, but for history that came since.
   * `others`: positions beyond it that count, too.
   */
  knownAt(key: string, through: Position, others: readonly Position[] = []): StateChange | undefined {
    let found: Ordered<StateChange> | undefined;
    for (const row of valued(this.byKey.range(key, DOWNWARDS))) {
      const [order, { position }] = row;
      if (position > through && !others.includes(position)) continue;
      if (found !== undefined && found[0] !== order) break;
      if (found === undefined || found[1].position < position) found = row;
    }
    return found?.[1];
  }

  committed(): void {
    this.byKey.committed();
    this.places.committed();
  }
}

function* valued(rows: Iterable<Ordered<StateChange>>): Generator<Ordered<StateChange>> {
  for (const row of rows) if (row[1].value !== undefined) yield row;
}

/** Of the rows at one order, the one of the last entry. */
function* last(rows: Iterable<Ordered<StateChange>>): Generator<Ordered<StateChange>> {
  let kept: Ordered<StateChange> | undefined;
  for (const row of rows) {
    if (kept !== undefined && kept[0] !== row[0]) yield kept;
    if (kept === undefined || kept[0] !== row[0] || kept[1].position < row[1].position) kept = row;
  }
  if (kept !== undefined) yield kept;
}
