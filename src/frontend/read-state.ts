/**
 * What is read and unread in one room, from orders alone (MSC4033).
 *
 * A receipt brings the order of its event with it, and an event brings its own. So nothing here asks when an event came,
 * what its timestamp says, or whether the event that a receipt points at was ever seen: events and receipts may be handed
 * over in any sequence, from `/sync`, `/messages`, `/relations` or the bus, and any number of times.
 *
 * What decides is F12 and F13 of the design. The thread of an event is settled by the server when it is stored (F3); a
 * client works it out the same way, from the event's relation and those of the events that it knows. An event that
 * relates to one which isn't known here counts as one of the main timeline until that one is.
 */
import { type Marker, Markers, toldMarker } from "../../actors/room/markers.ts";
import { UNREAD_COUNT_MAX } from "../limits.ts";
import { countsAsUnread, type MatrixEvent, redactedBy, relationOf, threadRootOf } from "../matrix/event.ts";
import { type EventId, MAIN, type ThreadId, type UserId } from "../matrix/ids.ts";
import type { ReceiptType } from "../matrix/receipt.ts";

/** A room event as clients hold it; those of its fields that reading depends on. */
export interface HeldEvent {
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
  /** The root that the event itself names. */
  readonly root: EventId | undefined;
  /** The event whose thread it shares. */
  readonly target: EventId | undefined;
  readonly counts: boolean;
}

/** The content of an `m.receipt` event, as `/sync` and client subjects have it. */
export type ReceiptsByEvent = Record<
  string,
  Partial<
    Record<string, Record<string, { readonly ts?: number; readonly order?: number; readonly thread_id?: string }>>
  >
>;

/** Unread message-like events of others, each figure at most 1000 (F13). */
export interface Unread {
  /** In the whole room. */
  readonly total: number;
  readonly main: number;
  /** By thread root; threads with nothing unread are absent. */
  readonly threads: ReadonlyMap<string, number>;
}

/** Relations go from an edit or reaction to its event, and from there to a root. Longer chains only confuse. */
const RELATION_HOPS_MAX = 8;

export class ReadState {
  /** All markers that are known, `m.fully_read` included if it was told. */
  readonly markers = new Markers();
  readonly #events = new Map<EventId, KnownEvent>();
  readonly #redacted = new Set<string>();

  /** How many events are held. */
  get size(): number {
    return this.#events.size;
  }

  /** Takes in an event with its `unsigned.order`. One without can't be placed, and is left out. */
  note(held: HeldEvent): void {
    const event = held as MatrixEvent;
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

  /** Takes in the content of an `m.receipt` event. A receipt without an order says nothing here. */
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

  /** Takes in the user's `m.fully_read` marker. */
  fullyRead(user: string, { event_id: event, order }: { readonly event_id: string; readonly order: number }): void {
    this.#move({ user, type: "m.fully_read", thread: null, event, order, ts: 0, position: 0 } as Marker);
  }

  /** MSC4033's order of an event that is held; undefined when it isn't. */
  order(event: string): number | undefined {
    return this.#events.get(event as EventId)?.order;
  }

  /** F3. The thread of an event that is held: `main`, or its root. */
  thread(event: string): string {
    return this.#threadOf(this.#events.get(event as EventId));
  }

  /**
   * F12. Whether a user has read an event: one that is held, by its id, or any event with an order. null when the
   * event is not held.
   */
  isRead(event: string | HeldEvent, user: string): boolean | null {
    if (typeof event !== "string") this.note(event);
    const known = this.#events.get((typeof event === "string" ? event : event.event_id) as EventId);
    if (known === undefined) return null;
    return this.#isRead(known, this.#threadOf(known), user as UserId);
  }

  /** F13, over the events that are held. */
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
   * The order up to which a user has read a thread (`main`, or a root), by receipts for it and by unthreaded ones; without a
   * thread, by unthreaded ones alone. undefined when there is no receipt.
   */
  readUpTo(user: string, thread?: string): number | undefined {
    const upTo = this.markers.readUpTo(user as UserId, (thread ?? null) as ThreadId | null);
    return upTo === Number.NEGATIVE_INFINITY ? undefined : upTo;
  }

  /** Who has a receipt at or after an event that is held. Its sender needs none, and is there only with one. */
  readers(event: string): string[] {
    const known = this.#events.get(event as EventId);
    if (known === undefined) return [];
    const thread = this.#threadOf(known) as ThreadId;
    const users = new Set<UserId>();
    for (const { user } of this.markers) users.add(user);
    return [...users].filter((user) => this.markers.cover(user, thread, known.order));
  }

  /** Lets go of the events with the smallest orders, until `max` are left. */
  protected trim(max: number): void {
    if (this.#events.size <= max) return;
    const oldest = [...this.#events.values()].sort((a, b) => a.order - b.order).slice(0, this.#events.size - max);
    for (const { id } of oldest) {
      this.#events.delete(id);
      this.#redacted.delete(id);
    }
  }

  #isRead(event: KnownEvent, thread: string, user: UserId): boolean {
    return event.order < 0 || event.sender === user || this.markers.cover(user, thread as ThreadId, event.order);
  }

  #threadOf(event: KnownEvent | undefined): string {
    let at = event;
    for (let hops = 0; at !== undefined && hops < RELATION_HOPS_MAX; hops++) {
      if (at.root !== undefined) return at.root;
      at = at.target === undefined ? undefined : this.#events.get(at.target);
    }
    return MAIN;
  }

  /** F7. A marker goes forward only. Those at events before the room's history all have order 0: the latest told stands. */
  #move(to: Marker): void {
    const own = this.markers.of(to.user);
    const marker = toldMarker(own, to.type as ReceiptType, to.thread);
    if (marker === undefined) {
      this.markers.put(own, to);
    } else if (to.order >= marker.order) {
      marker.event = to.event;
      marker.order = to.order;
      marker.ts = to.ts;
    }
  }
}
