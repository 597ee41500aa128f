/**
 * The state of a room: what the fold reads and changes, and nothing else does.
 *
 * A room may have a million events and a hundred thousand markers. What it has in memory is its latest rows and those
 * that no store has yet; the rest is read from the store one by one, as the fold asks for it.
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

/** What there is of a room once, not per event or user. */
export interface RoomFacts {
  /** Through which entry the log is folded; 0 when none is. */
  position: Position;
  /** The newest entry that changed what is published: an event, a public marker. */
  readonly changed: { events: Position; receipts: Position };
  /** The newest live events, oldest first. Their bodies are in the log. */
  readonly timeline: Position[];
  /** F9. Whether any membership was folded. */
  membershipKnown: boolean;
  /** F11. Whether a redaction came whose target was not known. */
  redactionsAhead: boolean;
  /** F9, F10. The content of the room's `m.room.server_acl`. */
  acl: Record<string, unknown> | undefined;
}

/** What a store has of a room. */
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
  /** Where the log has each current state event, by `stateKey`. */
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

  /** Whether the room's server ACL lets a server's receipts in. */
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

/** What a key of a store can't have, and what keeps two names apart. */
const CONTROL_OR_BACKSLASH = /[\p{Cc}\\]/gu;
const ESCAPED_FROM = "0".charCodeAt(0);

/** At most twice as long, because the keys of a store have a limit: JSON would be six times as long. */
function escaped(name: string): string {
  return name.replace(CONTROL_OR_BACKSLASH, (char) =>
    char === "\\" ? "\\\\" : `\\${String.fromCharCode(char.charCodeAt(0) + ESCAPED_FROM)}`,
  );
}

/** Where a partition's rooms are while no actor has them. Synchronous: a fold never waits. */
export interface RoomStore {
  /** Activates a room: as it was stored, or an empty one. */
  load(room: RoomId): Room;
  /** Whether the room was ever stored. */
  has(room: RoomId): boolean;
}
