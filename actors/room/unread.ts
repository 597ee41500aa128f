/**
 * The events that can make a room unread, by order and thread, so that a count reads only what lies after a marker.
 *
 *     ◀── the store's, by thread ──┃── tail: the newest, all threads together ──▶
 *
 * Only live events are here: a backfilled event has a negative order and is always read (F12). Events are added in log
 * order, so the tail is sorted. The markers of most users are in the tail, and then nothing is read from the store. For a user
 * who is further behind, a count continues from the previous one.
 */
import { UNREAD_COUNT_MAX } from "../../src/limits.ts";
import { MAIN } from "../../src/matrix/id-grammar.ts";
import type { ThreadId, UserId } from "../../src/matrix/ids.ts";
import type { EventInfo, Order, Position } from "../entry.ts";
import type { Markers } from "./markers.ts";

/** F13. Unread message-like events of others, each figure at most `UNREAD_COUNT_MAX`. */
export interface UnreadCounts {
  /** In the whole room. */
  readonly unthreaded: number;
  readonly main: number;
  /** By thread root. Threads with nothing unread are absent. */
  readonly threads: ReadonlyMap<ThreadId, number>;
}

/** A count that the next one can continue from, once. It is valid while `age` and `moved` are unchanged. */
export interface Counting {
  /** The index, as of its last redaction. */
  readonly age: object;
  /** The last move of a marker of the user. */
  readonly moved: Position;
  /** The newest event that was counted. */
  readonly through: Order;
  readonly threads: Map<ThreadId, ThreadCount>;
}

type Counted = Pick<EventInfo, "order" | "sender">;

/** What a store has of the index. */
export interface UnreadRows {
  threads(): Iterable<ThreadId>;
  /** The events of a thread beyond an order and before another, newest first. */
  between(thread: ThreadId, after: Order, before: Order): Iterable<Counted>;
}

/** What changed in the index since the last time. */
export interface UnreadChanges {
  readonly added: readonly EventInfo[];
  readonly removed: readonly EventInfo[];
}

const NONE: UnreadChanges = { added: [], removed: [] };

export class UnreadIndex {
  readonly #stored: UnreadRows | undefined;
  /** The newest events, oldest first: every event from the first one on, except those that were redacted and stored as such. */
  #tail: EventInfo[] = [];
  /** Through which order the tail's events were collected. */
  #collectedThrough: Order = 0;
  /** Through which order events were evicted from the tail. */
  #evictedThrough: Order = 0;
  /** Replaced by every redaction: until then, events are only added. An empty object, so that a cached count keeps no room in memory. */
  #age: object = {};
  /** Redacted events that the store still has. */
  readonly #removed = new Map<Order, EventInfo>();
  #collected = NONE;

  constructor(stored?: UnreadRows) {
    this.#stored = stored;
  }

  add(event: EventInfo): void {
    this.#tail.push(event);
  }

  /** F11. A redacted event does not count. */
  remove(event: EventInfo): void {
    this.#removed.set(event.order, event);
    this.#age = {};
  }

  count(user: UserId, markers: Markers): UnreadCounts {
    return summed(this.counting(user, markers));
  }

  /** Counts, continuing from a previous count if that is still valid. */
  counting(user: UserId, markers: Markers, before?: Counting): Counting {
    const moved = markers.of(user).reduce((newest, { position }) => Math.max(newest, position), 0);
    const goesOn = before?.age === this.#age && before.moved === moved && before.through >= this.#evictedThrough;
    const threads = goesOn ? before.threads : new Map<ThreadId, ThreadCount>();
    const countOf = (thread: ThreadId): ThreadCount => {
      let found = threads.get(thread);
      if (found === undefined) {
        found = { readUpTo: markers.readUpTo(user, thread), unread: 0 };
        threads.set(thread, found);
      }
      return found;
    };
    const note = (event: Counted, of: ThreadCount): void => {
      if (event.order <= of.readUpTo || event.sender === user || this.#removed.has(event.order)) return;
      if (of.unread < UNREAD_COUNT_MAX) of.unread++;
    };
    // An unthreaded marker covers all threads: nothing before it is read.
    const after = goesOn ? before.through : markers.readUpTo(user, null);
    let at = this.#tail.length;
    while (at > 0 && this.#tail[at - 1]!.order > after) {
      const event = this.#tail[--at]!;
      note(event, countOf(event.thread));
    }
    if (at === 0 && !goesOn && this.#stored !== undefined) {
      const tail = this.#tail[0]?.order ?? Number.POSITIVE_INFINITY;
      for (const thread of this.#stored.threads()) {
        const of = countOf(thread);
        for (const event of this.#stored.between(thread, of.readUpTo, tail)) {
          if (of.unread === UNREAD_COUNT_MAX) break;
          note(event, of);
        }
      }
    }
    const through = this.#tail.at(-1)?.order ?? (goesOn ? before.through : this.#evictedThrough);
    return { age: this.#age, moved, through, threads };
  }

  /** Returns what changed since the last time. It stays in memory until `committed`. */
  collect(): UnreadChanges {
    let first = this.#tail.length;
    while (first > 0 && this.#tail[first - 1]!.order > this.#collectedThrough) first--;
    if (first === this.#tail.length && this.#removed.size === 0) {
      this.#collected = NONE;
      return NONE;
    }
    this.#collectedThrough = this.#tail.at(-1)?.order ?? this.#collectedThrough;
    this.#collected = {
      added: this.#tail.slice(first).filter(({ order }) => !this.#removed.has(order)),
      removed: [...this.#removed.values()],
    };
    return this.#collected;
  }

  /** Called when the store has the collected events. Evicts the oldest of them, down to `hotMax`. */
  committed(hotMax: number): void {
    const { removed } = this.#collected;
    this.#collected = NONE; // So that the room doesn't hold on to them.
    if (removed.length > 0) {
      const gone = new Set(removed.map(({ order }) => order));
      for (const order of gone) this.#removed.delete(order);
      this.#tail = this.#tail.filter(({ order }) => !gone.has(order));
    }
    let surplus = 0;
    while (this.#tail.length - surplus > hotMax && this.#tail[surplus]!.order <= this.#collectedThrough) surplus++;
    if (surplus === 0) return;
    this.#evictedThrough = this.#tail[surplus - 1]!.order;
    this.#tail.splice(0, surplus);
  }
}

interface ThreadCount {
  readonly readUpTo: Order;
  unread: number;
}

/** The figures of a count. */
export function summed({ threads: counts }: Counting): UnreadCounts {
  let unthreaded = 0;
  let main = 0;
  const threads = new Map<ThreadId, number>();
  for (const [thread, { unread }] of counts) {
    if (unread === 0) continue;
    unthreaded += unread;
    if (thread === MAIN) main = unread;
    else threads.set(thread, unread);
  }
  return { unthreaded: Math.min(unthreaded, UNREAD_COUNT_MAX), main, threads };
}
