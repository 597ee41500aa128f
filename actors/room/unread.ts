/**
 * The events that can make a room unread (F13), by thread and order, so that a count reads only what lies after a marker.
 *
 *     ◀── by thread: the store, and `low`, which isn't stored yet ──┃── tail: the newest, all threads together ──▶
 *
 * Live events are added at the end of the tail, history below it. A redaction takes an event out (F11); an event whose thread
 * becomes known, or is redacted away, moves to another thread (F3, F11).
 *
 * Counting from the start costs what the room has. So a count goes on from the one before (`Counting`): new events are in the
 * tail, what left, moved or came below is in a journal, and the markers that moved are named by their user's `ReadingOf`.
 */

import { UNREAD_COUNT_MAX } from "../../src/limits.ts";
import { MAIN } from "../../src/matrix/id-grammar.ts";
import type { ThreadId, UserId } from "../../src/matrix/ids.ts";
import type { EventInfo, Order } from "../entry.ts";

/** Changes that a count can go on over. Beyond, it starts again. */
const JOURNAL_MAX = 4_096;

/** F13. Unread message-like events of others, each figure at most `UNREAD_COUNT_MAX`. */
export interface UnreadCounts {
  /** In the whole room. */
  readonly unthreaded: number;
  readonly main: number;
  /** By thread root. Threads without unread events are absent. */
  readonly threads: ReadonlyMap<ThreadId, number>;
}

export const NOTHING_UNREAD: UnreadCounts = { unthreaded: 0, main: 0, threads: new Map() };

/** How far one user has read, in the form that a count needs. */
export interface ReadingOf {
  readonly user: UserId;
  /** Events up to this order are read in all threads. */
  readonly everywhere: Order;
  /** Events up to this order are read in a thread. At least `everywhere`. */
  upTo(thread: ThreadId): Order;
  /** Grows with every change of the above. */
  readonly version: number;
  /** Returns the threads in which this has changed since a version; undefined for all of them, also if they are not known. */
  changedSince(version: number): Iterable<ThreadId> | undefined;
}

/** A count that a later one can go on from, once: the later one takes it over. */
export interface Counting {
  /** The index that was counted (an empty object stands for it, so that a count keeps no room in memory), and how far its journal was. */
  readonly index: object;
  readonly journal: number;
  readonly version: number;
  /** The greatest order that was counted. */
  readonly through: Order;
  /** Threads with something unread. */
  readonly threads: Map<ThreadId, number>;
}

interface UnreadRow {
  readonly thread: ThreadId;
  readonly order: Order;
  readonly sender: UserId;
}

/** The part of the index that a store has. */
export interface UnreadRows {
  threads(): Iterable<ThreadId>;
  /** The events of a thread with `after < order < before`, newest first. */
  between(thread: ThreadId, after: Order, before: Order): Iterable<Pick<UnreadRow, "order" | "sender">>;
}

/** A row to write, or to delete (`sender` undefined). */
type RowChange = Pick<UnreadRow, "thread" | "order"> & { readonly sender: UserId | undefined };

/** An event that left a thread (`from`), came into one below what was counted (`to`), or both. */
interface JournalEntry {
  readonly order: Order;
  readonly sender: UserId;
  readonly from: ThreadId | undefined;
  readonly to: ThreadId | undefined;
}

export class UnreadIndex {
  readonly #identity = {};
  readonly #stored: UnreadRows | undefined;
  /** All events from the first one on, oldest first. */
  readonly #tail: UnreadRow[] = [];
  /** The greatest order that is, or was, in the tail. */
  #top: Order;
  /** The greatest order that was evicted from the tail. */
  #evicted: Order = 0;
  /** Events below the tail that the store doesn't have, by order. */
  readonly #low = new Map<Order, UnreadRow>();
  /** Rows that the store still has, and that are no longer valid. */
  readonly #gone = new Set<string>();
  #changes: RowChange[] = [];
  /** The greatest order that the store has, or is being given. */
  #collectedTop: Order = 0;
  #collected: { low: UnreadRow[]; gone: string[] } = { low: [], gone: [] };
  readonly #journal: JournalEntry[] = [];
  /** Entries of the journal that were dropped. */
  #dropped = 0;

  /** `greatest`: the greatest order of the room; what a store has is at most there. */
  constructor(stored?: UnreadRows, greatest: Order = 0) {
    this.#stored = stored;
    this.#top = greatest;
  }

  /** Adds an event that counts. */
  add({ thread, order, sender }: EventInfo): void {
    const row = { thread, order, sender };
    if (order > this.#top) {
      this.#top = order;
      this.#tail.push(row);
    } else {
      this.#low.set(order, row);
      this.#note({ order, sender, from: undefined, to: thread });
    }
    this.#changes.push(row);
  }

  /** F11. A redacted event does not count. */
  remove({ thread, order, sender }: EventInfo): void {
    const at = this.#inTail(order);
    if (at >= 0) this.#tail.splice(at, 1);
    else this.#low.delete(order);
    this.#leave(thread, order);
    this.#note({ order, sender, from: thread, to: undefined });
  }

  /** F3, F11. An event that counts moves from the thread that it has to another. */
  move({ thread: from, order, sender }: EventInfo, to: ThreadId): void {
    const row = { thread: to, order, sender };
    const at = this.#inTail(order);
    if (at >= 0) this.#tail[at] = row;
    else this.#low.set(order, row);
    this.#leave(from, order);
    this.#changes.push(row);
    this.#note({ order, sender, from, to });
  }

  count(reading: ReadingOf): UnreadCounts {
    return summed(this.counting(reading));
  }

  /** Counts. Goes on from an earlier count where that is cheaper. */
  counting(reading: ReadingOf, before?: Counting): Counting {
    const threads = this.#continued(reading, before) ?? this.#counted(reading);
    return {
      index: this.#identity,
      journal: this.#dropped + this.#journal.length,
      version: reading.version,
      through: this.#top,
      threads,
    };
  }

  /** Calls back with each row that changed since the last call, in the order of the changes. They stay in memory until `committed`. */
  collect(each: (change: RowChange) => void): void {
    for (const change of this.#changes) each(change);
    this.#changes = [];
    this.#collectedTop = this.#top;
    this.#collected = { low: [...this.#low.values()], gone: [...this.#gone] };
  }

  /** Called when the store has the collected rows. Evicts the oldest events beyond `hotMax` from the tail. */
  committed(hotMax: number): void {
    if (this.#stored === undefined) return;
    for (const row of this.#collected.low) if (this.#low.get(row.order) === row) this.#low.delete(row.order);
    for (const key of this.#collected.gone) this.#gone.delete(key);
    for (const { thread, order, sender } of this.#changes)
      if (sender === undefined) this.#gone.add(rowKey(thread, order));
    this.#collected = { low: [], gone: [] };
    let surplus = 0;
    while (this.#tail.length - surplus > hotMax && this.#tail[surplus]!.order <= this.#collectedTop) surplus++;
    if (surplus === 0) return;
    this.#evicted = this.#tail[surplus - 1]!.order;
    this.#tail.splice(0, surplus);
  }

  /** Counts from the start. */
  #counted(reading: ReadingOf): Map<ThreadId, number> {
    const threads = new Map<ThreadId, number>();
    const upTo = cached(reading);
    let at = this.#tail.length;
    while (at > 0 && this.#tail[at - 1]!.order > reading.everywhere) {
      const { thread, order, sender } = this.#tail[--at]!;
      if (order > upTo(thread) && sender !== reading.user) increment(threads, thread);
    }
    if (at > 0) return threads;
    for (const thread of this.#threadsBelow()) this.#countBelow(reading, thread, threads);
    return threads;
  }

  /** Returns the earlier count with what changed since; undefined if that is not possible. */
  #continued(reading: ReadingOf, before: Counting | undefined): Map<ThreadId, number> | undefined {
    if (before === undefined || before.index !== this.#identity || before.journal < this.#dropped) return undefined;
    if (before.through < this.#evicted) return undefined; // events after it aren't in the tail any more
    const changed = reading.changedSince(before.version);
    if (changed === undefined) return undefined;
    const { threads, through } = before;
    const recount = new Set(changed);
    const upTo = cached(reading);
    for (let at = before.journal - this.#dropped; at < this.#journal.length; at++) {
      const { order, sender, from, to } = this.#journal[at]!;
      if (order > through || sender === reading.user) continue;
      if (from !== undefined && order > upTo(from)) {
        const count = threads.get(from) ?? 0;
        // At the cap, nobody knows how many there were.
        if (count >= UNREAD_COUNT_MAX) recount.add(from);
        else if (count > 1) threads.set(from, count - 1);
        else threads.delete(from);
      }
      if (to !== undefined && order > upTo(to)) increment(threads, to);
    }
    for (let at = this.#tail.length; at > 0 && this.#tail[at - 1]!.order > through; at--) {
      const { thread, order, sender } = this.#tail[at - 1]!;
      if (order > upTo(thread) && sender !== reading.user) increment(threads, thread);
    }
    if (recount.size > 0) this.#recount(reading, recount, threads);
    return threads;
  }

  /** Counts some threads again, with one walk over the tail. */
  #recount(reading: ReadingOf, recount: ReadonlySet<ThreadId>, threads: Map<ThreadId, number>): void {
    let lowest = Number.POSITIVE_INFINITY;
    const upTo = cached(reading);
    for (const thread of recount) {
      threads.delete(thread);
      lowest = Math.min(lowest, upTo(thread));
    }
    let at = this.#tail.length;
    while (at > 0 && this.#tail[at - 1]!.order > lowest) {
      const { thread, order, sender } = this.#tail[--at]!;
      if (recount.has(thread) && order > upTo(thread) && sender !== reading.user) increment(threads, thread);
    }
    if (at === 0) for (const thread of recount) this.#countBelow(reading, thread, threads);
  }

  /** Adds the events of a thread that lie below the tail. */
  #countBelow(reading: ReadingOf, thread: ThreadId, threads: Map<ThreadId, number>): void {
    const before = this.#tail[0]?.order ?? Number.POSITIVE_INFINITY;
    const after = reading.upTo(thread);
    if (after >= before) return;
    for (const row of this.#low.values()) {
      if (row.thread === thread && row.order > after && row.sender !== reading.user) increment(threads, thread);
    }
    if (this.#stored === undefined) return;
    for (const { order, sender } of this.#stored.between(thread, after, before)) {
      if ((threads.get(thread) ?? 0) >= UNREAD_COUNT_MAX) return;
      if (sender !== reading.user && !this.#gone.has(rowKey(thread, order)) && !this.#low.has(order)) {
        increment(threads, thread);
      }
    }
  }

  #threadsBelow(): Iterable<ThreadId> {
    if (this.#low.size === 0) return this.#stored?.threads() ?? [];
    const threads = new Set<ThreadId>(this.#stored?.threads());
    for (const { thread } of this.#low.values()) threads.add(thread);
    return threads;
  }

  /** Deletes the row from the store, if it is there. */
  #leave(thread: ThreadId, order: Order): void {
    this.#changes.push({ thread, order, sender: undefined });
    if (this.#stored !== undefined) this.#gone.add(rowKey(thread, order));
  }

  #note(entry: JournalEntry): void {
    this.#journal.push(entry);
    if (this.#journal.length <= JOURNAL_MAX) return;
    const surplus = this.#journal.length - JOURNAL_MAX / 2;
    this.#journal.splice(0, surplus);
    this.#dropped += surplus;
  }

  /** Where in the tail an event is; -1 if it is below. */
  #inTail(order: Order): number {
    let low = 0;
    let high = this.#tail.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#tail[middle]!.order < order) low = middle + 1;
      else high = middle;
    }
    return this.#tail[low]?.order === order ? low : -1;
  }
}

/** `upTo` of many events, looked up once for each thread. */
function cached(reading: ReadingOf): (thread: ThreadId) => Order {
  const known = new Map<ThreadId, Order>();
  return (thread) => {
    let order = known.get(thread);
    if (order === undefined) {
      order = reading.upTo(thread);
      known.set(thread, order);
    }
    return order;
  };
}

function increment(threads: Map<ThreadId, number>, thread: ThreadId): void {
  const count = threads.get(thread) ?? 0;
  if (count < UNREAD_COUNT_MAX) threads.set(thread, count + 1);
}

function rowKey(thread: ThreadId, order: Order): string {
  return `${order} ${thread}`;
}

/** The figures of a count. */
export function summed({ threads: counts }: Counting): UnreadCounts {
  let unthreaded = 0;
  let main = 0;
  const threads = new Map<ThreadId, number>();
  for (const [thread, unread] of counts) {
    unthreaded += unread;
    if (thread === MAIN) main = unread;
    else threads.set(thread, unread);
  }
  return { unthreaded: Math.min(unthreaded, UNREAD_COUNT_MAX), main, threads };
}
