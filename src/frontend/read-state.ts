/**
 * What is read and unread in one room, from orders alone (MSC4033).
 *
 * A receipt carries the order of its event, and an event carries its own. So arrival time and timestamps don't matter, nor
 * whether the event that a receipt points at was ever seen: add events and receipts in any sequence, from `/sync`,
 * `/messages`, `/relations` or the bus, any number of times.
 *
 * Rules F12 and F13 of docs/design.md#the-fold decide what is read and what counts. The server settles an event's thread
 * when it stores the event (F3); a client works it out in the same way, from the relations of the events that it has. An
 * event whose relation points at an unknown event is in the main timeline until that event is added.
 *
 * This module and all that it imports run in a browser: no Node built-ins, no packages.
 */
import { knownThreadMarker, type Marker, Markers } from "../../actors/room/markers.ts";
import { UNREAD_COUNT_MAX } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { MAIN } from "../matrix/id-grammar.ts";
import type { EventId, ThreadId, UserId } from "../matrix/ids.ts";
import { FULLY_READ, type ReceiptType } from "../matrix/receipt-types.ts";
import { countsAsUnread, redactedBy, relationOf, threadRootOf } from "../matrix/relations.ts";

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
  /** The event that it edits, reacts to or redacts: they share a thread. */
  readonly target: EventId | undefined;
  readonly counts: boolean;
}

/** The content of an `m.receipt` event, from `/sync` or a client subject: event → receipt type → user → receipt. */
export type ReceiptsByEvent = Record<
  string,
  Partial<
    Record<string, Record<string, { readonly ts?: number; readonly order?: number; readonly thread_id?: string }>>
  >
>;

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

/** An edit or reaction points at its event, and that one at its root. Longer chains are not followed. */
const RELATION_HOPS_MAX = 8;

export class ReadState {
  readonly #markers = new Markers();
  readonly #events = new Map<EventId, KnownEvent>();
  readonly #redacted = new Set<string>();

  /** Every marker that was added, fully-read markers included. */
  get markers(): ReadMarkers {
    return this.#markers;
  }

  /** The number of events. */
  get size(): number {
    return this.#events.size;
  }

  /** Adds an event. One without `unsigned.order` has no place, and is ignored. */
  note(clientEvent: ClientEvent): void {
    const event = clientEvent as MatrixEvent;
    const order = event.unsigned?.order;
    if (typeof order !== "number") return;
    const relation = relationOf(event);
    const redacts = redactedBy(event);
    if (redacts !== undefined) this.#redacted.add(redacts);
    if (event.unsigned?.redacted_because !== undefined) this.#redacted.add(event.event_id);
    const root = threadRootOf(event);
    const known = this.#events.get(event.event_id);
    this.#events.set(event.event_id, {
      id: event.event_id,
      order,
      sender: event.sender,
      // A redacted event has lost its relation, and keeps its thread (F11).
      root: root ?? known?.root,
      target: root === undefined ? (relation?.eventId ?? redacts ?? known?.target) : undefined,
      counts: countsAsUnread(event),
    });
  }

  /** Adds the content of an `m.receipt` event. Receipts without an order are ignored. */
  apply(content: ReceiptsByEvent): void {
    for (const [event, types] of Object.entries(content)) {
      for (const [type, users] of Object.entries(types)) {
        for (const [user, { ts = 0, order, thread_id: thread = null }] of Object.entries(users ?? {})) {
          if (typeof order !== "number") continue;
          this.#move({ user, type, thread, event, order, ts, position: 0 } as Marker);
        }
      }
    }
  }

  /** Adds a user's `m.fully_read` marker. */
  fullyRead(user: string, { event_id: event, order }: { readonly event_id: string; readonly order: number }): void {
    this.#move({ user, type: FULLY_READ, thread: null, event, order, ts: 0, position: 0 } as Marker);
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
    return this.#isRead(known, this.#threadOf(known), user as UserId);
  }

  /** F13, over the events that were added. */
  unread(user: string): Unread {
    let total = 0;
    let main = 0;
    const threads = new Map<string, number>();
    for (const event of this.#events.values()) {
      if (!event.counts || event.order < 0 || event.sender === user || this.#redacted.has(event.id)) continue;
      const thread = this.#threadOf(event);
      if (this.#isRead(event, thread, user as UserId)) continue;
      total++;
      if (thread === MAIN) main++;
      else threads.set(thread, Math.min((threads.get(thread) ?? 0) + 1, UNREAD_COUNT_MAX));
    }
    return { total: Math.min(total, UNREAD_COUNT_MAX), main: Math.min(main, UNREAD_COUNT_MAX), threads };
  }

  /**
   * The order up to which a user has read a thread (`main`, or a root's id), by its own receipts and by unthreaded ones.
   * Without a thread: by unthreaded receipts alone. Returns undefined when there is no such receipt.
   */
  readUpTo(user: string, thread?: string): number | undefined {
    const upTo = this.#markers.readUpTo(user as UserId, (thread ?? null) as ThreadId | null);
    return upTo === Number.NEGATIVE_INFINITY ? undefined : upTo;
  }

  /** The users with a receipt at or after an event; empty for an unknown event. Its sender is listed only with a receipt. */
  readers(event: string): string[] {
    const known = this.#events.get(event as EventId);
    if (known === undefined) return [];
    const thread = this.#threadOf(known) as ThreadId;
    const users = new Set<UserId>();
    for (const { user } of this.#markers) users.add(user);
    return [...users].filter((user) => this.#markers.cover(user, thread, known.order));
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

  #isRead(event: KnownEvent, thread: string, user: UserId): boolean {
    return event.order < 0 || event.sender === user || this.#markers.cover(user, thread as ThreadId, event.order);
  }

  #threadOf(event: KnownEvent | undefined): string {
    let at = event;
    for (let hops = 0; at !== undefined && hops < RELATION_HOPS_MAX; hops++) {
      if (at.root !== undefined) return at.root;
      at = at.target === undefined ? undefined : this.#events.get(at.target);
    }
    return MAIN;
  }

  /** F7. A marker only moves forward. At equal orders the later call wins: all events before the room's history have order 0. */
  #move(to: Marker): void {
    const own = this.#markers.of(to.user);
    const marker = knownThreadMarker(own, to.type as ReceiptType, to.thread);
    if (marker === undefined) {
      this.#markers.put(own, to);
    } else if (to.order >= marker.order) {
      marker.event = to.event;
      marker.order = to.order;
      marker.ts = to.ts;
    }
  }
}
