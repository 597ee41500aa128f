/**
 * What is read and unread in one room, from orders alone (MSC4033).
 *
 * A receipt carries the order of its event, and an event carries its own. So arrival time and timestamps don't matter, nor
 * whether the event that a receipt points at was ever seen: add events and receipts in any sequence, from `/sync`,
 * `/messages`, `/relations` or the bus, any number of times.
 *
 * The rules are F3 and F11 to F13 of docs/design.md#the-fold. With all events of a room, the result is the worker's. With some
 * of them, an event whose relation points at an unknown event is in `main` until that event is added.
 *
 * This module and all that it imports run in a browser: no Node built-ins, no packages.
 */
import type { Marker } from "../../actors/room/marker.ts";
import { Markers } from "../../actors/room/markers.ts";
import { UNREAD_COUNT_MAX } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { MAIN } from "../matrix/id-grammar.ts";
import type { EventId, ThreadId, UserId } from "../matrix/ids.ts";
import { orderIn } from "../matrix/order-names.ts";
import { FULLY_READ, type ReceiptType } from "../matrix/receipt-types.ts";
import { countsAsUnread, inheritedFrom, redactedBy, threadRootOf } from "../matrix/relations.ts";

/** A room event in the client-server format: the fields that decide what is read. */
export interface ClientEvent {
  readonly event_id: string;
  readonly type: string;
  readonly sender: string;
  readonly content: Record<string, unknown>;
  readonly state_key?: string | undefined;
  readonly redacts?: string | undefined;
  readonly unsigned?: Record<string, unknown> | undefined;
}

interface KnownEvent {
  readonly id: EventId;
  readonly order: number;
  readonly sender: UserId;
  /** The thread root that the event itself names. */
  readonly root: EventId | undefined;
  /** The event whose thread it shares. */
  readonly target: EventId | undefined;
  readonly counts: boolean;
}

interface Reader {
  readonly user: UserId;
  readonly joinedAt: number;
  readonly upTo: (thread: ThreadId) => number;
}

/** An event that set a user's membership. */
interface Membership {
  readonly order: number;
  readonly membership: unknown;
  /** What it was before, if the event says so. */
  readonly before: unknown;
}

/** A receipt, as `m.receipt` has it. Its order has the name `order` or `org.matrix.msc4033.order`. */
export interface ClientReceipt {
  readonly ts?: number | undefined;
  readonly order?: number | undefined;
  readonly "org.matrix.msc4033.order"?: number | undefined;
  readonly thread_id?: string | undefined;
}

/** The content of an `m.receipt` event, from `/sync` or a client subject: event → receipt type → user → receipt. */
export type ReceiptsByEvent = Record<string, Partial<Record<string, Record<string, ClientReceipt>>>>;

/** A receipt that came without an order. */
interface WaitingReceipt {
  readonly user: string;
  readonly type: string;
  readonly receipt: ClientReceipt;
}

/** Unread messages by other users, as F13 counts them. No figure exceeds 1000. */
export interface Unread {
  /** In the whole room. */
  readonly total: number;
  readonly main: number;
  /** By thread root. Threads without unread messages are absent. */
  readonly threads: ReadonlyMap<string, number>;
}

/** One user's position in a room, or in one of its threads. */
export interface ReadMarker {
  readonly user: string;
  readonly type: ReceiptType;
  /** `main`, or a thread root's id; null for an unthreaded receipt. */
  readonly thread: string | null;
  readonly event: string;
  readonly order: number;
  /** The receipt's timestamp: Unix time in ms, 0 if it has none. */
  readonly ts: number;
}

export interface ReadMarkers extends Iterable<ReadMarker> {
  of(user: string): readonly ReadMarker[];
}

export class ReadState {
  #markers = new Markers();
  readonly #events = new Map<EventId, KnownEvent>();
  /** Receipts without an order, by the event that will tell it; then by whose and which receipt it is. */
  readonly #waiting = new Map<string, Map<string, WaitingReceipt>>();
  readonly #redacted = new Set<string>();
  /** By user, then by event. */
  readonly #memberships = new Map<string, Map<EventId, Membership>>();
  /** Worked out since the last event was added. */
  #threads = new Map<EventId, ThreadId>();

  /** Every marker that was added, fully-read markers included. */
  get markers(): ReadMarkers {
    const markers = this.#markers;
    return { [Symbol.iterator]: () => markers[Symbol.iterator](), of: (user) => [...markers.of(user as UserId)] };
  }

  /** The number of events. */
  get size(): number {
    return this.#events.size;
  }

  /** Adds an event. One without an order in `unsigned`, under either name, has no place, and is ignored. */
  note(clientEvent: ClientEvent): void {
    const event = clientEvent as MatrixEvent;
    const order = orderIn(event.unsigned);
    if (order === undefined) return;
    const redacts = redactedBy(event);
    if (redacts !== undefined) this.#redacted.add(redacts);
    if (event.unsigned?.redacted_because !== undefined) this.#redacted.add(event.event_id);
    this.#events.set(event.event_id, {
      id: event.event_id,
      order,
      sender: event.sender,
      root: threadRootOf(event),
      target: inheritedFrom(event),
      counts: order >= 0 && countsAsUnread(event),
    });
    this.#threads = new Map();
    if (event.type === "m.room.member") this.#noteMember(event, order);
    const waiting = this.#waiting.get(event.event_id);
    if (waiting === undefined) return;
    this.#waiting.delete(event.event_id);
    for (const receipt of waiting.values()) this.#applyOne(event.event_id, receipt);
  }

  /**
   * Adds the content of an `m.receipt` event. A receipt without an order has that of its event, as soon as the event is added.
   */
  apply(content: ReceiptsByEvent): void {
    for (const [event, types] of Object.entries(content)) {
      for (const [type, users] of Object.entries(types)) {
        for (const [user, receipt] of Object.entries(users ?? {})) this.#applyOne(event, { type, user, receipt });
      }
    }
  }

  /**
   * Adds a user's `m.fully_read` marker. It may move back (F7), so orders don't say which of two is newer. `position` does: that of the
   * delta or the snapshot that has it. Without one, as in account data of `/sync`, the last call is the newest. Returns whether the
   * marker is there now.
   */
  fullyRead(
    user: string,
    { event_id: event, order }: { readonly event_id: string; readonly order: number },
    position?: number,
  ): boolean {
    const own = this.#markers.of(user as UserId);
    const marker = own.get(FULLY_READ, null);
    const known = marker?.position ?? 0;
    const to = { user, type: FULLY_READ, thread: null, event, order, ts: 0, position: position ?? known } as Marker;
    if (to.position < known) return false;
    if (marker === undefined) this.#markers.add(own, to);
    else this.#markers.move(own, marker, to);
    return true;
  }

  /** MSC4033's order of an event that was added; undefined for any other. */
  order(event: string): number | undefined {
    return this.#events.get(event as EventId)?.order;
  }

  /** F3. The thread of an event: its root's id, or `main`. Unknown events are in `main`. */
  thread(event: string): string {
    return this.#threadOf(this.#events.get(event as EventId));
  }

  /**
   * F12. Whether a user has read an event, given by its id or as a whole; the latter adds it. Returns null for an id that
   * was not added, and for an event without an order.
   */
  isRead(event: string | ClientEvent, user: string): boolean | null {
    if (typeof event !== "string") this.note(event);
    const known = this.#events.get((typeof event === "string" ? event : event.event_id) as EventId);
    if (known === undefined) return null;
    return isRead(known, this.#threadOf(known), this.#readerOf(user as UserId));
  }

  /** F13, over the events that were added. All figures are 0 for a user whose last known membership is not `join`. */
  unread(user: string): Unread {
    const threads = new Map<string, number>();
    let total = 0;
    if (this.#mayBeJoined(user)) {
      const reader = this.#readerOf(user as UserId);
      const sent = this.#newestSent(user as UserId);
      for (const event of this.#events.values()) {
        if (!event.counts || this.#redacted.has(event.id)) continue;
        const thread = this.#threadOf(event);
        if (event.order <= (sent.get(thread) ?? -1) || isRead(event, thread, reader)) continue;
        total++;
        threads.set(thread, Math.min((threads.get(thread) ?? 0) + 1, UNREAD_COUNT_MAX));
      }
    }
    const main = threads.get(MAIN) ?? 0;
    threads.delete(MAIN);
    return { total: Math.min(total, UNREAD_COUNT_MAX), main, threads };
  }

  /**
   * The order up to which a user has read a thread (`main`, or a root's id), by its own receipts and by unthreaded ones.
   * Without a thread: by unthreaded receipts alone. Returns undefined when there is no such receipt.
   */
  readUpTo(user: string, thread?: string): number | undefined {
    const upTo = this.#markers.of(user as UserId).readUpTo((thread ?? null) as ThreadId | null);
    return upTo === Number.NEGATIVE_INFINITY ? undefined : upTo;
  }

  /** The users with a receipt at or after an event; empty for an unknown event. Its sender is listed only with a receipt. */
  readers(event: string): string[] {
    const known = this.#events.get(event as EventId);
    if (known === undefined) return [];
    const thread = this.#threadOf(known);
    const users = new Set<UserId>();
    for (const { user } of this.#markers) users.add(user);
    return [...users].filter((user) => this.#markers.of(user).readUpTo(thread) >= known.order);
  }

  /**
   * Removes a user's markers.
   * @internal
   */
  protected forget(user: string): void {
    this.#markers.removeAll(user as UserId);
  }

  /**
   * Removes all events and receipts.
   * @internal
   */
  protected clear(): void {
    this.#markers = new Markers();
    this.#events.clear();
    this.#waiting.clear();
    this.#redacted.clear();
    this.#memberships.clear();
    this.#threads = new Map();
  }

  /**
   * Evicts the events with the smallest orders, until `max` are left.
   * @internal
   */
  protected trim(max: number): void {
    if (this.#events.size <= max) return;
    const oldest = [...this.#events.values()].sort((a, b) => a.order - b.order).slice(0, this.#events.size - max);
    for (const { id } of oldest) {
      this.#events.delete(id);
      this.#redacted.delete(id);
    }
  }

  #readerOf(user: UserId): Reader {
    const markers = this.#markers.of(user);
    return { user, joinedAt: this.#joinedAt(user), upTo: (thread) => markers.readUpTo(thread) };
  }

  /** F3, F11 */
  #threadOf(event: KnownEvent | undefined): ThreadId {
    const way = new Set<EventId>();
    let thread: ThreadId | undefined;
    for (let at = event; at !== undefined && thread === undefined; ) {
      const known = this.#threads.get(at.id);
      if (known !== undefined) thread = known;
      else if (this.#redacted.has(at.id) || way.has(at.id)) thread = MAIN;
      else if (at.root !== undefined) thread = at.root;
      way.add(at.id);
      at = at.target === undefined ? undefined : this.#events.get(at.target);
    }
    for (const id of way) this.#threads.set(id, thread ?? MAIN);
    return thread ?? MAIN;
  }

  /** F13. The user's newest event in each thread counts like a receipt. */
  #newestSent(user: UserId): Map<ThreadId, number> {
    const newest = new Map<ThreadId, number>();
    for (const event of this.#events.values()) {
      if (event.sender !== user || event.order < 0) continue;
      const thread = this.#threadOf(event);
      newest.set(thread, Math.max(newest.get(thread) ?? -1, event.order));
    }
    return newest;
  }

  #noteMember({ event_id: id, state_key: user, content, unsigned }: MatrixEvent, order: number): void {
    if (user === undefined || typeof content.membership !== "string") return;
    const before = unsigned?.prev_content as { readonly membership?: unknown } | null | undefined;
    const membership = { order, membership: content.membership, before: before?.membership };
    const known = this.#memberships.get(user);
    if (known === undefined) this.#memberships.set(user, new Map([[id, membership]]));
    else known.set(id, membership);
  }

  #membershipsOf(user: string): Membership[] {
    return [...(this.#memberships.get(user)?.values() ?? [])].sort((a, b) => b.order - a.order);
  }

  #mayBeJoined(user: string): boolean {
    const last = this.#membershipsOf(user).find(({ order }) => order >= 0);
    return last === undefined || last.membership === "join";
  }

  /** F12. The order of the event with which the user's stay began; 0 if it is not known. */
  #joinedAt(user: string): number {
    const memberships = this.#membershipsOf(user).filter(({ order }) => order >= 0);
    const joined = memberships.find(({ membership, before }, i) => {
      return membership === "join" && (before ?? memberships[i + 1]?.membership) !== "join";
    });
    return joined?.order ?? 0;
  }

  #applyOne(event: string, waiting: WaitingReceipt): void {
    const { type, user, receipt } = waiting;
    const { ts = 0, thread_id: thread = null } = receipt;
    const eventOrder = this.order(event);
    const order = orderIn(receipt) ?? (eventOrder === undefined ? undefined : Math.max(0, eventOrder)); // F8
    if (order === undefined) {
      const others = this.#waiting.get(event);
      const key = `${user} ${type} ${thread}`;
      if (others === undefined) this.#waiting.set(event, new Map([[key, waiting]]));
      else others.set(key, waiting);
      return;
    }
    this.#move({ user, type, thread, event, order, ts, position: 0 } as Marker);
  }

  /** F7. A marker only moves forward. At equal orders the later call wins: all events before the room's history have order 0. */
  #move(to: Marker): void {
    const own = this.#markers.of(to.user);
    const marker = own.get(to.type, to.thread);
    if (marker === undefined) this.#markers.add(own, to);
    else if (to.order >= marker.order) this.#markers.move(own, marker, to);
  }
}

/** F12 */
function isRead({ order, sender }: KnownEvent, thread: ThreadId, { user, joinedAt, upTo }: Reader): boolean {
  return order < 0 || sender === user || order < joinedAt || upTo(thread) >= order;
}
