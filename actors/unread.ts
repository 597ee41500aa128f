/**
 * Which events can make a room unread, by thread and order, so that a count looks only at what lies after a marker.
 *
 * Only live events are here: a backfilled one has a negative order and is always read (F12). They come in log order,
 * so every thread's are sorted: those that a store has, then those that came since.
 */
import { UNREAD_COUNT_MAX } from "../src/limits.ts";
import { MAIN, type ThreadId, type UserId } from "../src/matrix/ids.ts";
import type { Order } from "./entry.ts";
import type { EventInfo } from "./event-info.ts";
import type { Markers } from "./markers.ts";

/** F13. Unread message-like events of others, each figure at most `UNREAD_COUNT_MAX`. */
export interface UnreadCounts {
  /** In the whole room. */
  readonly unthreaded: number;
  readonly main: number;
  /** By thread root. Threads with nothing unread are absent. */
  readonly threads: ReadonlyMap<ThreadId, number>;
}

type Counted = Pick<EventInfo, "order" | "sender">;

/** What a store has of the index. */
export interface UnreadRows {
  threads(): Iterable<ThreadId>;
  /** The events of a thread beyond an order, newest first. */
  after(thread: ThreadId, order: Order): Iterable<Counted>;
}

/** What changed in the index since the last time. */
export interface UnreadChanges {
  readonly added: readonly EventInfo[];
  readonly removed: readonly EventInfo[];
}

const NONE: UnreadChanges = { added: [], removed: [] };

export class UnreadIndex {
  readonly #stored: UnreadRows | undefined;
  /** Events that no store has yet. */
  readonly #recent = new Map<ThreadId, EventInfo[]>();
  /** Redacted events that the store still has. */
  readonly #removed = new Map<Order, EventInfo>();
  #taken = NONE;
  #added: EventInfo[] = [];

  constructor(stored?: UnreadRows) {
    this.#stored = stored;
  }

  add(event: EventInfo): void {
    this.#file(event);
    if (this.#stored !== undefined) this.#added.push(event);
  }

  #file(event: EventInfo): void {
    const events = this.#recent.get(event.thread);
    if (events === undefined) this.#recent.set(event.thread, [event]);
    else events.push(event);
  }

  /** F11. A redacted event counts no more. */
  remove(event: EventInfo): void {
    this.#removed.set(event.order, event);
  }

  count(user: UserId, markers: Markers): UnreadCounts {
    let unthreaded = 0;
    let main = 0;
    const threads = new Map<ThreadId, number>();
    for (const thread of new Set([...this.#recent.keys(), ...(this.#stored?.threads() ?? [])])) {
      const count = this.#countAfter(thread, markers.readUpTo(user, thread), user);
      if (count === 0) continue;
      unthreaded += count;
      if (thread === MAIN) main = count;
      else threads.set(thread, count);
    }
    return { unthreaded: Math.min(unthreaded, UNREAD_COUNT_MAX), main, threads };
  }

  /** Newest first, so that it ends at the marker or at the cap. */
  #countAfter(thread: ThreadId, readUpTo: Order, user: UserId): number {
    let count = 0;
    const recent = this.#recent.get(thread) ?? [];
    for (let i = recent.length - 1; i >= 0 && recent[i]!.order > readUpTo; i--) {
      if (this.#counts(recent[i]!, user) && ++count === UNREAD_COUNT_MAX) return count;
    }
    if (this.#stored === undefined || (recent.length > 0 && recent[0]!.order <= readUpTo)) return count;
    for (const event of this.#stored.after(thread, readUpTo)) {
      if (event.order >= (recent[0]?.order ?? Number.POSITIVE_INFINITY)) continue; // just stored
      if (this.#counts(event, user) && ++count === UNREAD_COUNT_MAX) return count;
    }
    return count;
  }

  #counts(event: Counted, user: UserId): boolean {
    return event.sender !== user && !this.#removed.has(event.order);
  }

  /** What changed since the last time. It counts as unstored until `kept`. */
  take(): UnreadChanges {
    if (this.#added.length === 0 && this.#removed.size === 0) {
      this.#taken = NONE;
      return NONE;
    }
    this.#taken = {
      added: this.#added.filter(({ order }) => !this.#removed.has(order)),
      removed: [...this.#removed.values()],
    };
    this.#added = [];
    return this.#taken;
  }

  /** What was taken is stored. */
  kept(): void {
    for (const { order } of this.#taken.removed) this.#removed.delete(order);
    this.#taken = NONE; // else the room keeps the events that are stored now
    this.#recent.clear();
    for (const event of this.#added) this.#file(event);
  }
}
