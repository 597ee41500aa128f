/**
 * Compares the delta stream of a partition (docs/design.md#what-is-published) with the rooms folded from its log.
 *
 * It reads deltas like any reader: it drops what it has, detects gaps in `previous`, and keeps the newest place of each
 * marker. In addition, every order must be that of the log, and at the end every marker must have the place that it has
 * in the log, unless its delta may be older than the stream.
 */
import type { Position } from "../../actors/entry.ts";
import { type Marker, publishedOrder } from "../../actors/room/marker.ts";
import type { Room } from "../../actors/room/room.ts";
import { memberKey, type StateChange } from "../../actors/room/state-changes.ts";
import type { MembershipAt } from "../bus/contract/fields.ts";
import type { Delta } from "../bus/contract/messages.ts";
import type { OrderedEvent } from "../matrix/event.ts";
import { ID_SEPARATOR } from "../matrix/id-grammar.ts";
import type { EventId, RoomId, UserId } from "../matrix/ids.ts";
import { receiptItems } from "../matrix/receipt.ts";
import { FULLY_READ, isPrivate } from "../matrix/receipt-types.ts";
import type { LastChanges } from "./last-changes.ts";

/** Which changes the stream must have: those beyond a position that the log appended at a time or later, by the log's own clock. */
export interface Kept {
  readonly beyond: Position;
  readonly at: number;
}

/** How far one subject of a room is read. */
interface Chain {
  readonly room: RoomId;
  /** The start of the chain: the stream has no deltas at or before this position. */
  readonly since: Position;
  through: Position;
}

/** The published place of a marker. */
interface PublishedPlace {
  readonly event: EventId;
  readonly order: number;
  /** The delta's: `m.fully_read` may move back, so the greater position is the newer place. */
  readonly position: Position;
  /** The delta is beyond what is folded here, so the marker may be ahead of the log. */
  readonly ahead: boolean;
  /** Whether it replaces a place of a smaller position, whatever its order. */
  readonly replaces?: boolean;
}

export class PublishedDeltas {
  readonly #rooms: ReadonlyMap<RoomId, Room>;
  readonly #changes: LastChanges;
  readonly #chains = new Map<string, Chain>();
  /** By `room user type thread`. */
  readonly #places = new Map<string, PublishedPlace>();
  deltas = 0;

  /** `rooms`, `changes`: folded from the log. */
  constructor(rooms: ReadonlyMap<RoomId, Room>, changes: LastChanges) {
    this.#rooms = rooms;
    this.#changes = changes;
  }

  /** Throws a `Difference` if the delta contradicts the log or earlier deltas. */
  read(delta: Delta, sequence: number): void {
    const room = this.#rooms.get(delta.room_id);
    if (room === undefined) return; // It is not being verified.
    this.deltas++;
    const where = `delta ${sequence} (${delta.type === "events" ? "events" : "receipts"})`;
    const key = chainKey(delta.room_id, delta.type === "private" ? delta.user_id : delta.type);
    if (!this.#follow(key, delta, where)) return;
    const { position } = delta;
    const ahead = position > room.position;
    if (delta.type === "events") {
      for (const [user, membership] of Object.entries(delta.members ?? {})) {
        this.#member(room, user as UserId, membership, where);
      }
      for (const event of delta.events) {
        if (!ahead || room.events.get(event.event_id) !== undefined) this.#event(room, event, where);
      }
      return;
    }
    if (delta.type === "receipts") {
      for (const user of Object.keys(delta.erased ?? {})) this.#erase(room.id, user);
    }
    for (const { event, type, user, data } of receiptItems(delta.event?.content ?? {})) {
      const { order, thread_id: thread = null } = data;
      this.#marker(room, markerKey(room.id, user, type, thread), { event, order, position, ahead }, where);
    }
    if (delta.type === "private" && delta.fully_read !== undefined) {
      const { event_id: event, order } = delta.fully_read;
      const key = markerKey(room.id, delta.user_id, FULLY_READ, null);
      this.#marker(room, key, { event, order, position, ahead, replaces: true }, where);
    }
  }

  /** Returns the rooms that are published beyond what is folded here, with their published positions. */
  beyond(): Map<RoomId, Position> {
    const beyond = new Map<RoomId, Position>();
    for (const { room, through } of this.#chains.values()) {
      if (through > Math.max(beyond.get(room) ?? 0, this.#rooms.get(room)!.position)) beyond.set(room, through);
    }
    return beyond;
  }

  /** Returns a difference if the stream lacks something that it must have, or if its newest delta contradicts the log. */
  missing(kept: Kept): Difference | undefined {
    for (const room of this.#rooms.values()) {
      for (const kind of ["events", "receipts"] as const) {
        const { position, at } = this.#changes.of(room.id)[kind];
        if (!mustHave(kept, position, at)) continue;
        const through = this.#chains.get(chainKey(room.id, kind))?.through ?? 0;
        if (through < position) {
          return new Difference(
            room.id,
            `${kind} changed at position ${position}, and are published through ${through}`,
          );
        }
      }
      for (const marker of room.markers) {
        const missing = this.#missingMarker(room, marker, kept);
        if (missing !== undefined) return missing;
      }
    }
    return undefined;
  }

  #missingMarker(room: Room, marker: Marker, kept: Kept): Difference | undefined {
    const { user, type, thread, event, position } = marker;
    const chain = this.#chains.get(chainKey(room.id, isPrivate(type) ? user : "receipts"));
    const isKept = mustHave(kept, position, this.#changes.movedAt(marker));
    if (!isKept && (chain === undefined || chain.since >= position)) return undefined;
    const published = this.#places.get(markerKey(room.id, user, type, thread));
    const order = publishedOrder(marker);
    if (published?.event === event && published.order === order) return undefined;
    if (published?.ahead && (published.replaces || published.order >= order)) return undefined;
    // An inferred marker and one of known thread look the same in public: the newest delta may be of either.
    const namesakes = [...room.markers.of(user)].filter((other) => other.type === type && other.thread === thread);
    if (namesakes.some((other) => other !== marker && other.event === published?.event)) return undefined;
    if (thread !== null && this.#covered(room, marker)) return undefined;
    const name = `the ${type} marker of ${user}${thread === null ? "" : ` in ${thread}`}`;
    const last =
      published === undefined
        ? "it was not published"
        : `${published.event}, order ${published.order} was published last`;
    return new Difference(room.id, `${name} is at ${event}, order ${order} in the log, ${last}`);
  }

  /**
   * MSC4102: of a threaded and an unthreaded marker on one event, only the unthreaded one is published. It covers the
   * other.
   */
  #covered(room: Room, marker: Marker): boolean {
    const unthreaded = this.#places.get(markerKey(room.id, marker.user, marker.type, null));
    return unthreaded !== undefined && unthreaded.order >= publishedOrder(marker);
  }

  #erase(room: RoomId, user: string): void {
    const own = [room, user, ""].join(ID_SEPARATOR);
    for (const key of this.#places.keys()) if (key.startsWith(own)) this.#places.delete(key);
  }

  /** Returns whether the delta is new. Throws a `Difference` if one before it is missing. */
  #follow(key: string, delta: Delta, where: string): boolean {
    const { room_id: room, position } = delta;
    const previous = delta.type === "private" ? undefined : delta.previous;
    const chain = this.#chains.get(key);
    if (delta.type === "receipts" && previous === position) {
      // A delta that was too large is published as a gap, for which readers take a snapshot: the stream lacks its
      // content.
      this.#chains.set(key, { room, since: position, through: position });
      return false;
    }
    if (chain === undefined) {
      // A private delta doesn't say what came before it.
      this.#chains.set(key, { room, since: previous ?? position, through: position });
      return true;
    }
    if (previous !== undefined && previous > chain.through) {
      throw new Difference(
        room,
        `${where} follows position ${previous}, the ${delta.type} delta before it ended at ${chain.through}: one is missing`,
      );
    }
    if (position <= chain.through && previous !== undefined) return false;
    chain.through = Math.max(chain.through, position);
    return true;
  }

  #event(room: Room, { event_id: id, unsigned }: OrderedEvent, where: string): void {
    const order = room.events.get(id)?.order;
    if (order !== unsigned.order) {
      throw new Difference(room.id, `${where} gives ${id} order ${unsigned.order}, the log ${String(order)}`);
    }
  }

  /** The log must have a change of the member to this membership, where the delta says. */
  #member(room: Room, user: UserId, { membership, position }: MembershipAt, where: string): void {
    if (position > room.position) return;
    const found = changeAt(room, user, position);
    if (found?.value === membership) return;
    throw new Difference(
      room.id,
      `${where} says ${membership} of ${user} at position ${position}, the log ${String(found?.value)}`,
    );
  }

  #marker(room: Room, key: string, place: PublishedPlace, where: string): void {
    const order = room.events.get(place.event)?.order;
    const unknown = order === undefined && place.ahead;
    if (!unknown && (order === undefined || Math.max(0, order) !== place.order)) {
      throw new Difference(
        room.id,
        `${where} puts ${key.slice(room.id.length + 1).replaceAll(ID_SEPARATOR, " ")} at ${place.event}, order ${place.order}, the log has ${String(order)}`,
      );
    }
    const before = this.#places.get(key);
    const isNewer = before === undefined || isAtLeast(place, before);
    if (isNewer) this.#places.set(key, place);
  }
}

/** The change of a user's member event that an entry made. */
function changeAt({ stateChanges }: Room, user: UserId, position: Position): StateChange | undefined {
  for (const [, change] of stateChanges.byKey.range(memberKey(user))) if (change.position === position) return change;
  return undefined;
}

function mustHave(kept: Kept, position: Position, at: number): boolean {
  return position > kept.beyond && at >= kept.at;
}

function isAtLeast(place: PublishedPlace, before: PublishedPlace): boolean {
  return place.replaces ? place.position >= before.position : place.order >= before.order;
}

function chainKey(room: RoomId, kind: string): string {
  return `${room} ${kind}`;
}

function markerKey(room: RoomId, user: string, type: string, thread: string | null): string {
  return [room, user, type, thread ?? ""].join(ID_SEPARATOR);
}

/** A difference between the log and what was derived from it, in one sentence. */
export class Difference extends Error {
  constructor(room: RoomId, what: string) {
    super(`${room}: ${what}`);
    this.name = "Difference";
  }
}
