/**
 * The state of a room. Only the fold changes it.
 *
 * A room may have a million events and a hundred thousand markers. In memory are the rows that were used lately and those that the
 * store doesn't have yet; the fold reads other rows from the store one by one.
 */
import { TIMELINE_EVENTS_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, ServerName, UserId } from "../../src/matrix/ids.ts";
import { type ServerAcl, serverAcl } from "../../src/matrix/server-acl.ts";
import type { EventInfo, Position } from "../entry.ts";
import { EventOrders, type OrderRows } from "./event-orders.ts";
import { type HeldReceipt, HeldReceipts } from "./held.ts";
import { type Marker, Markers } from "./markers.ts";
import { type Rows, Table } from "./table.ts";
import { UnreadIndex, type UnreadRows } from "./unread.ts";

/** What a room has once, not per event or user. */
export interface RoomFacts {
  /** The last folded entry; 0 before the first. */
  position: Position;
  /** The newest entry that changed what is published: an event, a public marker. */
  readonly changed: { events: Position; receipts: Position };
  /** The newest live events, oldest first. Their bodies are in the log. */
  readonly timeline: Position[];
  /** F9. Whether any membership was folded. */
  membershipKnown: boolean;
  /** F11. Whether a redaction came before its target. */
  redactionsAhead: boolean;
  /** F9, F10. The content of the room's `m.room.server_acl`. */
  acl: Record<string, unknown> | undefined;
}

/** The rows of a room in a store. */
export interface StoredRoom {
  /** undefined for a room that was never stored. */
  readonly facts: RoomFacts | undefined;
  readonly events: Rows<EventId, EventInfo>;
  readonly orders: OrderRows;
  readonly markers: Rows<UserId, Marker[]>;
  readonly members: Rows<UserId, string>;
  readonly redactions: Rows<EventId, EventId>;
  readonly state: Rows<string, Position>;
  readonly held: Iterable<HeldReceipt>;
  readonly unread: UnreadRows;
}

export class Room implements RoomFacts {
  readonly id: RoomId;
  position: Position;
  readonly changed: { events: Position; receipts: Position };
  readonly timeline: Position[];
  membershipKnown: boolean;
  redactionsAhead: boolean;
  readonly events: Table<EventId, EventInfo>;
  readonly orders: EventOrders;
  readonly markers: Markers;
  /** F10. Membership by user. */
  readonly members: Table<UserId, string>;
  /** F11. Redactions that came before their target, by target. */
  readonly redactions: Table<EventId, EventId>;
  /** The position of each current state event, by `stateKey`. */
  readonly state: Table<string, Position>;
  readonly held: HeldReceipts;
  readonly unread: UnreadIndex;
  #acl: Record<string, unknown> | undefined;
  #judge: ServerAcl | undefined;

  constructor(id: RoomId, stored?: StoredRoom) {
    const facts = stored?.facts;
    this.id = id;
    this.position = facts?.position ?? 0;
    this.changed = facts?.changed ?? { events: 0, receipts: 0 };
    this.timeline = facts?.timeline ?? [];
    this.membershipKnown = facts?.membershipKnown ?? false;
    this.redactionsAhead = facts?.redactionsAhead ?? false;
    this.#acl = facts?.acl;
    this.events = new Table(stored?.events);
    this.orders = new EventOrders(stored?.orders);
    this.markers = new Markers(stored?.markers);
    this.members = new Table(stored?.members);
    this.redactions = new Table(stored?.redactions);
    this.state = new Table(stored?.state);
    this.held = new HeldReceipts(stored?.held);
    this.unread = new UnreadIndex(stored?.unread);
  }

  get acl(): Record<string, unknown> | undefined {
    return this.#acl;
  }

  set acl(content: Record<string, unknown> | undefined) {
    this.#acl = content;
    this.#judge = undefined;
  }

  /** Whether the room's server ACL accepts receipts of a server. */
  allows(server: ServerName): boolean {
    if (this.#acl === undefined) return true;
    this.#judge ??= serverAcl(this.#acl);
    return this.#judge(server);
  }

  /** Adds a live event to the timeline. */
  append(position: Position): void {
    this.timeline.push(position);
    if (this.timeline.length > TIMELINE_EVENTS_MAX) this.timeline.shift();
  }

  /** Called when the store has what was collected for a checkpoint. Evicts rows beyond `hotMax` of each kind. */
  committed(hotMax: number): void {
    this.events.committed(hotMax);
    this.orders.committed();
    this.markers.rows.committed(hotMax);
    this.members.committed(hotMax);
    this.redactions.committed(hotMax);
    this.state.committed(hotMax);
    this.unread.committed(hotMax);
  }
}

/** The key of a state event among a room's state. */
export function stateKey(type: string, key: string): string {
  return `${escaped(type)}\\ ${escaped(key)}`;
}

/** Characters that a key of the store can't have, and the escape character. */
const CONTROL_OR_BACKSLASH = /[\p{Cc}\\]/gu;
const ESCAPED_FROM = "0".charCodeAt(0);

/** At most twice as long as the name, because the length of keys is limited: JSON may be six times as long. */
function escaped(name: string): string {
  return name.replace(CONTROL_OR_BACKSLASH, (char) =>
    char === "\\" ? "\\\\" : `\\${String.fromCharCode(char.charCodeAt(0) + ESCAPED_FROM)}`,
  );
}

/** The rooms of a partition that are not active. Synchronous: a fold never waits. */
export interface RoomStore {
  /** Returns a room as it was stored, or an empty one. */
  load(room: RoomId): Room;
  /** Whether the room was ever stored. */
  has(room: RoomId): boolean;
}
