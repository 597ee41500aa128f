/**
 * The newest event that each user has sent in each thread: it counts like a receipt for its thread (F13).
 *
 * An event of `main` stays there, so one order per user is enough. An event of another thread may move to `main` (F11), and then
 * the one before it is the newest: so those are all there, by thread. Unsettled events are in `UnsettledThreads`.
 */
import { MAIN } from "../../src/matrix/id-grammar.ts";
import type { ThreadId, UserId } from "../../src/matrix/ids.ts";
import type { EventInfo, Order } from "../entry.ts";
import { type Rows, Table } from "./table.ts";

/** A row of an event in a thread other than `main`; `present` is false when it has to be deleted. */
export interface SentRow {
  readonly user: UserId;
  readonly thread: ThreadId;
  readonly order: Order;
  readonly present: boolean;
}

/** What a store has. */
export interface StoredSent {
  readonly main: Rows<UserId, Order>;
  /** Orders of a user's events in a thread, the greatest first. */
  inThread(user: UserId, thread: ThreadId): Iterable<Order>;
}

interface ThreadChanges {
  readonly rows: Map<Order, SentRow>;
  /** The greatest order that is present; 0 if all are deleted. */
  newest: Order;
}

export class SentEvents {
  readonly main: Table<UserId, Order>;
  readonly #stored: StoredSent | undefined;
  /** Not stored yet: the last change of each row. */
  readonly #changes = new Map<UserId, Map<ThreadId, ThreadChanges>>();
  #collected: SentRow[] = [];

  constructor(stored?: StoredSent) {
    this.#stored = stored;
    this.main = new Table(stored?.main);
  }

  /** A settled event of positive order. Returns whether it is the newest of its user and thread. */
  add({ sender, thread, order }: Pick<EventInfo, "sender" | "thread" | "order">): boolean {
    const isNewest = order > this.newest(sender, thread);
    if (thread !== MAIN) this.#set({ user: sender, thread, order, present: true });
    else if (isNewest) this.main.set(sender, order);
    return isNewest;
  }

  /** F11. An event leaves the thread that it was in, which is not `main`. */
  remove({ sender, thread, order }: EventInfo): void {
    this.#set({ user: sender, thread, order, present: false });
  }

  /** 0 if the user has sent nothing there. */
  newest(user: UserId, thread: ThreadId): Order {
    if (thread === MAIN) return this.main.get(user) ?? 0;
    const changes = this.#changes.get(user)?.get(thread);
    const newest = changes?.newest ?? 0;
    for (const order of this.#stored?.inThread(user, thread) ?? []) {
      if (order <= newest) break;
      if (changes?.rows.get(order)?.present !== false) return order;
    }
    return newest;
  }

  collect(each: (row: SentRow) => void): void {
    this.#collected = [];
    for (const threads of this.#changes.values()) {
      for (const { rows } of threads.values()) {
        for (const row of rows.values()) {
          each(row);
          this.#collected.push(row);
        }
      }
    }
  }

  committed(hotMax: number): void {
    this.main.committed(hotMax);
    if (this.#stored === undefined) return;
    for (const row of this.#collected) {
      const threads = this.#changes.get(row.user);
      const changes = threads?.get(row.thread);
      if (changes?.rows.get(row.order) !== row) continue;
      changes.rows.delete(row.order);
      if (row.order === changes.newest) changes.newest = greatest(changes);
      if (changes.rows.size === 0) threads!.delete(row.thread);
      if (threads!.size === 0) this.#changes.delete(row.user);
    }
    this.#collected = [];
  }

  #set(row: SentRow): void {
    let threads = this.#changes.get(row.user);
    if (threads === undefined) {
      threads = new Map();
      this.#changes.set(row.user, threads);
    }
    let changes = threads.get(row.thread);
    if (changes === undefined) {
      changes = { rows: new Map(), newest: 0 };
      threads.set(row.thread, changes);
    }
    changes.rows.set(row.order, row);
    if (row.present) changes.newest = Math.max(changes.newest, row.order);
    else if (row.order === changes.newest) changes.newest = greatest(changes);
  }
}

function greatest({ rows }: ThreadChanges): Order {
  let newest = 0;
  for (const { order, present } of rows.values()) if (present) newest = Math.max(newest, order);
  return newest;
}
