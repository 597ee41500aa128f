/**
 * Which events of a room a user may see (Matrix specification, "Room history visibility"; docs/design.md#who-sees-what).
 *
 * An event is visible
 * 1. when the room's history was `world_readable` at it, or
 * 2. when the user was joined at it, or
 * 3. when it was `shared`, and the user joined at any time after it, or
 * 4. when it was `invited`, and the user was invited.
 * For an event that changed the visibility, and for the user's own member events, before or after counts.
 *
 * How it was at an order, the changes of the two keys say (`state-changes.ts`): the nearest at it or below. Where there is none, what
 * was before the next newer event, as that says; else the oldest `state` entry, if the event it is of isn't known at another place.
 * Where nothing says it: a live event is `shared`, and an older one `joined`; nobody is joined.
 *
 *     vis     ──── joined ────┃────────── shared ─────────▶
 *     member  ─── leave ──┃───── join ──────┃─── leave ───▶
 *     sees       no       ┃      yes        ┃     no          constant between edges
 */
import type { UserId } from "../../src/matrix/ids.ts";
import type { Order } from "../entry.ts";
import type { OrderRange } from "./order-index.ts";
import type { Room } from "./room.ts";
import { HALF_AN_ORDER, HISTORY_VISIBILITY_KEY, memberKey, type StateChange } from "./state-changes.ts";

/** What is between two changes of a key: from the first, and before the second. */
interface Stretch {
  readonly from: Order;
  readonly until: Order;
  /** undefined: nothing says it. */
  readonly value: string | undefined;
}

const VISIBILITIES: ReadonlySet<unknown> = new Set(["world_readable", "shared", "invited", "joined"]);

/** A value that isn't understood counts as `shared`, as the specification says. */
export function understoodVisibility(value: unknown): string {
  return VISIBILITIES.has(value) ? (value as string) : "shared";
}

/** Greater than all orders: what is there is how it is now. */
const NEWEST = Number.MAX_SAFE_INTEGER;

/** A user's view of a room's history: for one question, while nothing is folded. */
export class Visibility {
  readonly #room: Room;
  readonly #visibility: History;
  readonly #membership: History;
  /** The greatest order at which the user joined; −∞ without one. */
  readonly #lastJoin: Order;

  constructor(room: Room, viewer: UserId) {
    this.#room = room;
    this.#visibility = new History(room, HISTORY_VISIBILITY_KEY);
    this.#membership = new History(room, memberKey(viewer));
    this.#lastJoin = this.#membership.lastAs("join");
  }

  /** Whether the event at this order is visible. */
  sees(order: Order): boolean {
    const visibility = this.#visibilityIn(this.#visibility.at(order), order);
    const membership = this.#membership.at(order).value;
    if (this.#allows(visibility, membership, order)) return true;
    if (this.#visibility.changesAt(order)) {
      return this.#allows(this.#visibilityIn(this.#visibility.before(order), order), membership, order);
    }
    return this.#membership.changesAt(order) && this.#allows(visibility, this.#membership.before(order).value, order);
  }

  /** Whether the event at this order is of a stay of the user's, or the user's own member event. */
  stayed(order: Order): boolean {
    return this.#membership.at(order).value === "join" || this.#membership.changesAt(order);
  }

  /** Whether the user surely sees everything from this order on, since nothing changes there. */
  seesAllFrom(order: Order): boolean {
    if (!this.sees(order) || !this.sees(NEWEST)) return false;
    const membership = this.#membership.at(order);
    if (membership.value === "join" && membership.until === Number.POSITIVE_INFINITY) return true;
    const visibility = this.#visibility.at(order);
    if (visibility.until !== Number.POSITIVE_INFINITY) return false;
    const value = this.#visibilityIn(visibility, order);
    return value === "world_readable" || (value === "shared" && this.#membership.at(NEWEST).value === "join");
  }

  /** An order beyond which the user sees nothing. */
  end(): Order {
    return this.sees(NEWEST) ? NEWEST : this.edge(NEWEST, "b");
  }

  /** The order at which the user's last stay ended; undefined if the user is joined, or never was. */
  lastLeave(): Order | undefined {
    return this.#membership.endOf("join");
  }

  /**
   * If `sees` says no at this order, it does so beyond it in this direction, before the edge; and so does `stayed`.
   */
  edge(order: Order, dir: OrderRange["dir"]): Order {
    const stretches = [this.#visibility.at(order), this.#membership.at(order)];
    const fixed = [this.#lastJoin, this.#room.firstLive];
    if (dir === "f") return Math.min(...stretches.map(({ until }) => until), ...fixed.filter((at) => at > order));
    return Math.max(...stretches.map(({ from }) => from), ...fixed.filter((at) => at <= order));
  }

  #allows(visibility: string, membership: string | undefined, order: Order): boolean {
    if (visibility === "world_readable" || membership === "join") return true;
    if (visibility === "shared") return this.#lastJoin > order;
    return visibility === "invited" && membership === "invite";
  }

  #visibilityIn({ value }: Stretch, order: Order): string {
    if (value !== undefined) return value;
    const isLive = this.#room.firstLive !== 0 && order >= this.#room.firstLive;
    return isLive ? "shared" : "joined";
  }
}

/** The values of one key. Keeps the stretch that was asked for last: events are asked for by order. */
class History {
  readonly #room: Room;
  readonly #key: string;
  #last: Stretch | undefined;

  constructor(room: Room, key: string) {
    this.#room = room;
    this.#key = key;
  }

  at(order: Order): Stretch {
    if (this.#last === undefined || order < this.#last.from || order >= this.#last.until) {
      this.#last = this.#stretchAt(order);
    }
    return this.#last;
  }

  /** What was just before the change at this order. */
  before(order: Order): Stretch {
    return this.#stretchAt(order - HALF_AN_ORDER);
  }

  /** Whether the event at this order is a change of the key. */
  changesAt(order: Order): boolean {
    return this.at(order).from === order;
  }

  /** The greatest order of a change to this value; −∞ if there is none. */
  lastAs(value: string): Order {
    for (const [order, change] of this.#downFrom(Number.POSITIVE_INFINITY)) if (change.value === value) return order;
    return Number.NEGATIVE_INFINITY;
  }

  /** The order of the change that ended the last time of this value; undefined if it lasts, or never was. */
  endOf(value: string): Order | undefined {
    let end: Order | undefined;
    for (const [order, change] of this.#downFrom(Number.POSITIVE_INFINITY)) {
      if (change.value === value) return end;
      end = order;
    }
    return undefined;
  }

  #stretchAt(order: Order): Stretch {
    let from: Order | undefined;
    let value: string | undefined;
    for (const [at, change] of this.#downFrom(order)) {
      from = at;
      value = change.value;
      break;
    }
    let until = Number.POSITIVE_INFINITY;
    for (const [at, change] of this.#upFrom(order)) {
      if (until === Number.POSITIVE_INFINITY) {
        until = at;
        if (from !== undefined) break;
        if (change.entry !== undefined && !this.#isKnown(change)) value = change.value;
      }
      if (change.entry !== undefined) continue;
      value = change.before ?? value;
      break;
    }
    return { from: from ?? Number.NEGATIVE_INFINITY, until, value };
  }

  /** Whether the event of a `state` entry has an order. */
  #isKnown({ entry }: StateChange): boolean {
    return entry !== undefined && this.#room.events.get(entry) !== undefined;
  }

  #downFrom(order: Order) {
    return this.#room.stateChanges.valuesDownFrom(this.#key, order);
  }

  #upFrom(order: Order) {
    return this.#room.stateChanges.valuesUpFrom(this.#key, order);
  }
}
