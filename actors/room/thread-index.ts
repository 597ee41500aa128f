/**
 * What clients show of a thread besides its events, and which threads were active last.
 *
 * An event is of a thread by its own `m.thread` relation; reactions and edits of its events are not counted. A redacted event
 * leaves the count, but it was an activity all the same: whoever shows the newest event passes over redacted ones.
 */
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import type { EventInfo, Order } from "../entry.ts";
import { ALL, OrderIndex, type OrderRange, type OrderRows } from "./order-index.ts";
import { type Rows, Table } from "./table.ts";

export interface ThreadSummary {
  /** Events that are not redacted. */
  readonly count: number;
  /** The greatest order of its events, redacted ones included. */
  readonly latest: Order;
}

/** What a store has. */
export interface StoredThreads {
  readonly summaries: Rows<EventId, ThreadSummary>;
  readonly senders: Rows<string, number>;
  /** By `ALL`. */
  readonly activity: OrderRows<EventId, string>;
}

export class ThreadIndex {
  /** By root. */
  readonly summaries: Table<EventId, ThreadSummary>;
  /** How many events of a thread a user has sent that are not redacted, by `senderKey`. */
  readonly senders: Table<string, number>;
  /** The root of each event of a thread, by the event's order. The newest row of a root is the one at its `latest`. */
  readonly activity: OrderIndex<EventId, string>;

  constructor(stored?: StoredThreads) {
    this.summaries = new Table(stored?.summaries);
    this.senders = new Table(stored?.senders);
    this.activity = new OrderIndex(stored?.activity);
  }

  add(root: EventId, { sender, order }: EventInfo): void {
    const { count, latest } = this.summaries.get(root) ?? { count: 0, latest: Number.NEGATIVE_INFINITY };
    this.summaries.set(root, { count: count + 1, latest: Math.max(latest, order) });
    this.senders.set(senderKey(sender, root), this.sentBy(sender, root) + 1);
    this.activity.add(ALL, order, root);
  }

  /** F11. An event of the thread was redacted. */
  remove(root: EventId, { sender }: EventInfo): void {
    const { count, latest } = this.summaries.get(root)!;
    this.summaries.set(root, { count: count - 1, latest });
    this.senders.set(senderKey(sender, root), this.sentBy(sender, root) - 1);
  }

  sentBy(user: UserId, root: EventId): number {
    return this.senders.get(senderKey(user, root)) ?? 0;
  }

  /** The roots of all events of threads that are not redacted altogether, by the events' orders, the latest first. */
  *byActivity(range: OrderRange): Generator<readonly [order: Order, root: EventId | undefined]> {
    for (const [order, root] of this.activity.range(ALL, range)) {
      yield [order, this.summaries.get(root)!.count > 0 ? root : undefined];
    }
  }

  committed(hotMax: number): void {
    this.summaries.committed(hotMax);
    this.senders.committed(hotMax);
    this.activity.committed();
  }
}

/** The length keeps two pairs apart: a user id may have any characters. */
function senderKey(user: UserId, root: EventId): string {
  return `${user.length} ${user} ${root}`;
}
