/**
 * The state of a room. Only the fold changes it.
 *
 * A room may have a million events and a hundred thousand markers. In memory are the rows that were used lately and those that the
 * store doesn't have yet; the fold reads other rows from the store one by one.
 */
import { TIMELINE_EVENTS_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, ServerName, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { type ServerAcl, serverAcl } from "../../src/matrix/server-acl.ts";
import type { EventInfo, Order, Position } from "../entry.ts";
import { type HeldReceipt, HeldReceipts } from "./held.ts";
import { JoinedServers } from "./joined-servers.ts";
import { OrderIndex, type OrderRows } from "./order-index.ts";
import type { OrderEnds } from "./orders.ts";
import { RoomMarkers, type StoredMarkers } from "./room-markers.ts";
import { SentEvents, type StoredSent } from "./sent-events.ts";
import { StateBodies, type StoredBodies } from "./state-bodies.ts";
import { StateChanges, type StoredStateChanges } from "./state-changes.ts";
import { type Rows, Table } from "./table.ts";
import { type StoredThreads, ThreadIndex } from "./thread-index.ts";
import { type UnsettledEvent, UnsettledThreads } from "./threads.ts";
import { NOTHING_UNREAD, type ReadingOf, type UnreadCounts, UnreadIndex, type UnreadRows } from "./unread.ts";

/** An event of the timeline. */
export interface TimelineEvent {
  readonly order: Order;
  readonly position: Position;
}

/** Where the log has a state event, and the order of the live event that set it; 0 for a `state` entry (F10). */
export interface StateEvent {
  readonly position: Position;
  readonly order: Order;
}

/** A user's membership. */
export interface Member {
  readonly membership: string;
  /** The entry that changed it. */
  readonly position: Position;
  /** Where the current or last stay began, and ended: orders. 0: there was none, or it lasts. */
  readonly joined: Order;
  readonly left: Order;
}

/** A membership, and the entry that changed it. */
export type Membership = Pick<Member, "membership" | "position">;

/** What a room has once, not per event or user. */
export type RoomFacts = Pick<
  Room,
  | "position"
  | "changed"
  | "orders"
  | "liveEvents"
  | "firstLive"
  | "timeline"
  | "membershipKnown"
  | "present"
  | "redactionsAhead"
  | "hasErasures"
  | "acl"
  | "publicMarkersGot"
>;

/** The rows of a room in a store. */
export interface StoredRoom {
  /** undefined for a room that was never stored. */
  readonly facts: RoomFacts | undefined;
  readonly events: Rows<EventId, EventInfo>;
  readonly byOrder: OrderRows<Position>;
  readonly relations: OrderRows<EventId>;
  readonly relationsByType: OrderRows<EventId, string>;
  readonly threads: StoredThreads;
  readonly markers: StoredMarkers;
  readonly members: Rows<UserId, Member>;
  readonly joined: Rows<ServerName, number>;
  readonly joins: Rows<UserId, Order>;
  readonly redactions: Rows<EventId, EventId>;
  readonly erasures: Rows<UserId, number>;
  readonly state: Rows<string, StateEvent>;
  readonly stateChanges: StoredStateChanges;
  readonly stateBodies: StoredBodies;
  readonly held: Iterable<HeldReceipt>;
  readonly unsettled: Iterable<UnsettledEvent>;
  readonly sent: StoredSent;
  readonly unread: UnreadRows;
}

/** The rooms of a partition that are not active. Synchronous: a fold never waits. */
export interface RoomStore {
  /** Returns a room as it was stored, or an empty one. */
  load(room: RoomId): Room;
  /** Whether the room was ever stored. */
  has(room: RoomId): boolean;
}

export class Room {
  readonly id: RoomId;
  /** The base of the log: positive orders begin behind it (F1). */
  readonly base: Order;
  /** The last folded entry; 0 before the first. */
  position: Position;
  /** The newest entry that changed what is published: an event, or a member event of a `state` entry; a public marker. */
  readonly changed: { events: Position; receipts: Position };
  readonly orders: OrderEnds;
  /** How many live events got an order. */
  liveEvents: number;
  /** The order of the first of them; 0 before it. */
  firstLive: Order;
  /** The newest events of positive order, oldest first. */
  readonly timeline: TimelineEvent[];
  /** F9. Whether any membership was folded. */
  membershipKnown: boolean;
  /** F10. How many are joined, and how many are invited. */
  readonly present: { join: number; invite: number };
  /** F11. Whether a redaction came before its target. */
  redactionsAhead: boolean;
  /** F14. Whether anybody was erased. */
  hasErasures: boolean;
  readonly events: Table<EventId, EventInfo>;
  /** All events by order, with their positions. */
  readonly byOrder: OrderIndex<Position>;
  /** The events that relate to one, by order, with their ids. */
  readonly relations: OrderIndex<EventId>;
  /** The same by `relationKey`. Redacted events, which no longer relate, are still there. */
  readonly relationsByType: OrderIndex<EventId, string>;
  readonly threads: ThreadIndex;
  readonly markers: RoomMarkers;
  /** F10. */
  readonly members: Table<UserId, Member>;
  readonly joined: JoinedServers;
  /** F12. The order of the event with which a user's stay began. */
  readonly joins: Table<UserId, Order>;
  /** F11. Redactions that came before their target, by target. */
  readonly redactions: Table<EventId, EventId>;
  /** F14. Until when receipts of erased users were sent that are not taken: Unix time in ms. */
  readonly erasures: Table<UserId, number>;
  /** The current state events, by `stateKey`. */
  readonly state: Table<string, StateEvent>;
  /** What the state was, at any order. */
  readonly stateChanges: StateChanges;
  readonly stateBodies: StateBodies;
  readonly held: HeldReceipts;
  /** F3 */
  readonly unsettled: UnsettledThreads;
  /** F13 */
  readonly sent: SentEvents;
  readonly unread: UnreadIndex;
  #acl: Record<string, unknown> | undefined;
  #allows: ServerAcl | undefined;

  constructor(id: RoomId, base: Order, stored?: StoredRoom) {
    const facts = stored?.facts;
    this.id = id;
    this.base = base;
    this.position = facts?.position ?? 0;
    this.changed = facts?.changed ?? { events: 0, receipts: 0 };
    this.orders = facts?.orders ?? { greatest: 0, smallest: 0, negative: 0 };
    this.liveEvents = facts?.liveEvents ?? 0;
    this.firstLive = facts?.firstLive ?? 0;
    this.timeline = facts?.timeline ?? [];
    this.membershipKnown = facts?.membershipKnown ?? false;
    this.present = facts?.present ?? { join: 0, invite: 0 };
    this.redactionsAhead = facts?.redactionsAhead ?? false;
    this.hasErasures = facts?.hasErasures ?? false;
    this.#acl = facts?.acl;
    this.events = new Table(stored?.events);
    this.byOrder = new OrderIndex(stored?.byOrder);
    this.relations = new OrderIndex(stored?.relations);
    this.relationsByType = new OrderIndex(stored?.relationsByType);
    this.threads = new ThreadIndex(stored?.threads);
    this.markers = new RoomMarkers(stored?.markers, facts?.publicMarkersGot);
    this.members = new Table(stored?.members);
    this.joined = new JoinedServers(stored?.joined);
    this.joins = new Table(stored?.joins);
    this.redactions = new Table(stored?.redactions);
    this.erasures = new Table(stored?.erasures);
    this.state = new Table(stored?.state);
    this.stateChanges = new StateChanges(stored?.stateChanges);
    this.stateBodies = new StateBodies(stored?.stateBodies);
    this.held = new HeldReceipts(stored?.held);
    this.unsettled = new UnsettledThreads(stored?.unsettled);
    this.sent = new SentEvents(stored?.sent);
    this.unread = new UnreadIndex(stored?.unread, this.orders.greatest);
  }

  /** F9, F10. The content of the room's `m.room.server_acl`. */
  get acl(): Record<string, unknown> | undefined {
    return this.#acl;
  }

  set acl(content: Record<string, unknown> | undefined) {
    this.#acl = content;
    this.#allows = undefined;
  }

  /** How many public markers it has ever got. */
  get publicMarkersGot(): number {
    return this.markers.publicGot;
  }

  /** Whether the room's server ACL accepts receipts of a server. */
  allows(server: ServerName): boolean {
    if (this.#acl === undefined) return true;
    this.#allows ??= serverAcl(this.#acl);
    return this.#allows(server);
  }

  /** Adds an event of positive order to the timeline, at the end where it belongs. */
  addToTimeline(event: TimelineEvent): void {
    const { timeline } = this;
    const last = timeline.at(-1);
    if (last === undefined || event.order > last.order) {
      timeline.push(event);
      if (timeline.length > TIMELINE_EVENTS_MAX) timeline.shift();
    } else if (timeline.length < TIMELINE_EVENTS_MAX) {
      timeline.unshift(event);
    }
  }

  /** Membership by user. */
  memberships(): Record<string, string> {
    const memberships: Record<string, string> = {};
    for (const [user, { membership }] of this.members) memberships[user] = membership;
    return memberships;
  }

  /** F12. The order of the event with which a user's current stay began; 0 if no event did. */
  joinedAt(user: UserId): Order {
    return this.joins.get(user) ?? 0;
  }

  /** F12, F13. How far a user has read, as a count of unread events asks for it. */
  readingOf(user: UserId): ReadingOf {
    const own = this.markers.of(user);
    const everywhere = Math.max(this.joinedAt(user), own.readUpTo(null));
    const sent = (thread: ThreadId) =>
      thread === "main"
        ? Math.max(this.sent.newest(user, thread), this.unsettled.newestOf(user))
        : this.sent.newest(user, thread);
    return {
      user,
      everywhere,
      upTo: (thread) => Math.max(everywhere, own.readUpTo(thread), sent(thread)),
      version: own.version,
      changedSince: (version) => own.changedSince(version),
    };
  }

  /** F13. */
  unreadCounts(user: UserId): UnreadCounts {
    return this.countsFor(user) ? this.unread.count(this.readingOf(user)) : NOTHING_UNREAD;
  }

  /** F13. Whether the unread events of a user are counted: not in rooms that the user is known not to have joined. */
  countsFor(user: UserId): boolean {
    return !this.membershipKnown || this.members.get(user)?.membership === "join";
  }

  /** Called when the store has what was collected for a checkpoint. Evicts rows beyond `hotMax` of each kind. */
  committed(hotMax: number): void {
    this.events.committed(hotMax);
    this.byOrder.committed();
    this.relations.committed();
    this.relationsByType.committed();
    this.threads.committed(hotMax);
    this.markers.committed(hotMax);
    this.members.committed(hotMax);
    this.joined.committed(hotMax);
    this.joins.committed(hotMax);
    this.redactions.committed(hotMax);
    this.erasures.committed(hotMax);
    this.state.committed(hotMax);
    this.stateChanges.committed();
    this.stateBodies.committed();
    this.sent.committed(hotMax);
    this.unread.committed(hotMax);
  }
}
