/**
 * Unpublished changes by room, collected while entries are folded, until `src/worker/publisher.ts` takes them
 * (docs/design.md#what-is-published).
 *
 * In a room's delta, a later move of a marker replaces an earlier one: the delta refers to the marker itself, and shows where it is
 * when the delta is published.
 *
 * `Room.changed` is a function of the log alone, so the `previous` of a delta is the same after a replay, and need not be stored.
 */
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { keyed, type ReceiptContent, type ReceiptEvent } from "../../src/matrix/receipt.ts";
import { isPrivate, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import {
  ARRIVALS,
  type Entry,
  type EventArrival,
  type Order,
  type Position,
  type ReceiptEntry,
  STATE,
  type TimelineEntry,
} from "../entry.ts";
import { type Marker, publishedOrder } from "../room/marker.ts";
import type { FoldedEntry, Judgement, Rejected } from "../room/outcome.ts";
import type { Membership, Room } from "../room/room.ts";
import { memberKey } from "../room/state-changes.ts";

/** An event that got an order. */
export interface EventChange {
  readonly position: Position;
  readonly kind: EventArrival;
  readonly event: MatrixEvent;
  readonly order: Order;
}

/** A member event that a `state` entry set (F10). It has no order. */
export interface MemberChange {
  readonly position: Position;
  readonly kind: "state";
  readonly user: UserId;
  /** The user's now: its position is smaller if the entry left the membership as it was, e.g. with another display name. */
  readonly membership: Membership;
}

interface Rejection {
  /** The position of the receipt itself, not of the entry with which it was judged. */
  readonly position: Position;
  readonly receipt: ReceiptEntry;
  readonly rejected: Rejected;
}

/** A user who was erased from the room (F14). */
export interface Erasure {
  readonly position: Position;
  readonly user: UserId;
  /** Those whose content is gone. */
  readonly events: readonly EventId[];
}

/** What changed in one room since its last delta. */
export class RoomDelta {
  readonly room: RoomId;
  /** The oldest change in this delta. */
  readonly since: Position;
  /** In log order. */
  readonly events: (EventChange | MemberChange)[] = [];
  /** Public markers that moved. */
  readonly markers = new Set<Marker>();
  readonly privateMarkers = new Map<UserId, Set<Marker>>();
  readonly erasures: Erasure[] = [];
  readonly rejections: Rejection[] = [];
  /** The positions of the room's previous event and receipt deltas. */
  readonly previous: { readonly events: Position; readonly receipts: Position };
  /** The number of changes, repeated moves of one marker included. */
  size = 0;

  constructor(room: Room, since: Position) {
    this.room = room.id;
    this.since = since;
    this.previous = { ...room.changed };
  }

  /** What the user's receipts changed before is not published. */
  erase(erasure: Erasure): void {
    this.erasures.push(erasure);
    for (const marker of this.markers) if (marker.user === erasure.user) this.markers.delete(marker);
    this.privateMarkers.delete(erasure.user);
  }
}

/** The unpublished deltas of a partition's rooms. */
export class Changes {
  readonly #deltas = new Map<RoomId, RoomDelta>();
  #size = 0;

  /** The number of unpublished changes, repeated moves of one marker included. */
  get size(): number {
    return this.#size;
  }

  rooms(): IterableIterator<RoomId> {
    return this.#deltas.keys();
  }

  has(room: RoomId): boolean {
    return this.#deltas.has(room);
  }

  /** The oldest unpublished change; undefined when there is none. The first delta need not have it: a fetch is folded room by room. */
  oldest(): Position | undefined {
    let oldest: Position | undefined;
    for (const { since } of this.#deltas.values()) if (oldest === undefined || since < oldest) oldest = since;
    return oldest;
  }

  take(room: RoomId): RoomDelta | undefined {
    const delta = this.#deltas.get(room);
    this.#deltas.delete(room);
    this.#size -= delta?.size ?? 0;
    return delta;
  }

  /**
   * Adds what an entry changed to its room's delta. With `published` its delta is in the streams already, and only
   * `Room.changed` is brought up to date. Returns whether there is something to publish.
   */
  add(room: Room, { position, entry, outcome }: FoldedEntry, published: boolean): boolean {
    switch (outcome.outcome) {
      case "ordered": {
        const [kind, event] = entry as TimelineEntry;
        const change = { position, kind: ARRIVALS[kind], event, order: outcome.order };
        if (!published) this.#delta(room, position).events.push(change);
        room.changed.events = position;
        for (const { held, judgement } of outcome.judged) {
          this.#judged(room, position, held.position, held.receipt, judgement, published);
        }
        return !published;
      }
      case "held":
        if (outcome.overflow === undefined) return false;
        this.#judged(
          room,
          position,
          outcome.overflow.held.position,
          outcome.overflow.held.receipt,
          outcome.overflow.judgement,
          published,
        );
        return !published;
      case "noted": {
        const change = memberSet(room, position, entry);
        if (change === undefined) return false;
        if (!published) this.#delta(room, position).events.push(change);
        room.changed.events = position;
        return !published;
      }
      case "erased":
        if (!published) this.#delta(room, position).erase({ position, user: outcome.user, events: outcome.events });
        room.changed.receipts = position;
        for (const { held, judgement } of outcome.judged) {
          this.#judged(room, position, held.position, held.receipt, judgement, published);
        }
        return !published;
      case "duplicate":
      case "stale":
        return false;
      case "advanced":
      case "released":
      case "rejected":
        this.#judged(room, position, position, entry as ReceiptEntry, outcome, published);
        return !published;
    }
  }

  #judged(
    room: Room,
    now: Position,
    position: Position,
    receipt: ReceiptEntry,
    judgement: Judgement,
    published: boolean,
  ): void {
    if (judgement.outcome === "stale") return;
    const delta = published ? undefined : this.#delta(room, now);
    if (judgement.outcome === "rejected") {
      delta?.rejections.push({ position, receipt, rejected: judgement });
      return;
    }
    const { marker } = judgement;
    if (!isPrivate(marker.type)) {
      delta?.markers.add(marker);
      room.changed.receipts = now;
    } else if (delta !== undefined) {
      const markers = delta.privateMarkers.get(marker.user);
      if (markers === undefined) delta.privateMarkers.set(marker.user, new Set([marker]));
      else markers.add(marker);
    }
  }

  #delta(room: Room, position: Position): RoomDelta {
    let delta = this.#deltas.get(room.id);
    if (delta === undefined) {
      delta = new RoomDelta(room, position);
      this.#deltas.set(room.id, delta);
    }
    delta.size++;
    this.#size++;
    return delta;
  }
}

/** The member event that a `state` entry at this position has set; undefined for other entries, and if what was there stands. */
export function memberSet(room: Room, position: Position, entry: Entry): MemberChange | undefined {
  if (entry[0] !== STATE) return undefined;
  const event = entry[1];
  if (event.type !== "m.room.member" || event.state_key === undefined) return undefined;
  const user = event.state_key as UserId;
  const member = room.members.get(user);
  if (member === undefined) return undefined;
  if (room.state.get(memberKey(user))?.position !== position && member.position !== position) return undefined;
  return { position, kind: "state", user, membership: { membership: member.membership, position: member.position } };
}

/**
 * The `m.receipt` event that shows these markers. It has one place for a user, a type and an event: `preferred` says which
 * marker gets it.
 */
export function receiptEvent(markers: Iterable<Marker>): ReceiptEvent {
  const all = Array.isArray(markers) ? (markers as readonly Marker[]) : [...markers];
  const places: Record<EventId, Partial<Record<ReceiptType, Record<UserId, Marker>>>> = keyed();
  for (const marker of all) {
    const { event, type, user } = marker;
    places[event] ??= {};
    places[event][type] ??= keyed();
    const users = places[event][type];
    const other = users[user];
    users[user] = other === undefined ? marker : preferred(other, marker);
  }
  // What a marker shows takes its place: large deltas cost less than with a second tree.
  const content = places as ReceiptContent;
  for (const marker of all) {
    const { event, type, user, thread, ts } = marker;
    if (places[event]![type]![user] !== marker) continue;
    const data = { ts, order: publishedOrder(marker) };
    content[event]![type]![user] = thread === null ? data : { ...data, thread_id: thread };
  }
  return { type: "m.receipt", content };
}

/**
 * Of two markers at one event: an inferred one gives way to any other; an unthreaded one covers a threaded one (MSC4102); of two
 * threads, that of the later receipt. (An event has had two threads if it was unsettled, or if a redaction moved it: F6.)
 */
export function preferred(a: Marker, b: Marker): Marker {
  if (a.inferred !== b.inferred) return a.inferred ? b : a;
  if (a.thread === null || b.thread === null) return a.thread === null ? a : b;
  if (a.position !== b.position) return a.position > b.position ? a : b;
  return a.thread > b.thread ? a : b;
}
