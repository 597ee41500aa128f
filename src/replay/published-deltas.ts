/**
 * What the delta stream of a partition says was published (docs/design.md#what-is-published), against the rooms folded from its log.
 *
 * A reader like any other: it drops what it has, notices gaps in `previous`, and keeps the newest marker of each key. On
 * top, every order it reads must be the log's own, and in the end every marker must be where the log has it, as far as
 * the stream still keeps what told it.
 */
import type { Position } from "../../actors/entry.ts";
import { type Marker, publishedOrder } from "../../actors/room/markers.ts";
import type { Room } from "../../actors/room/room.ts";
import type { ScannedDelta } from "../bus/deltas/delta-scan.ts";
import { DELTAS_AGE_MS } from "../limits.ts";
import type { OrderedEvent } from "../matrix/event.ts";
import type { EventId, RoomId } from "../matrix/ids.ts";
import type { ReceiptEvent } from "../matrix/receipt.ts";
import { FULLY_READ, isPrivate } from "../matrix/receipt-types.ts";
import type { LastChanges } from "./last-changes.ts";

/** What is nearly as old as the stream keeps may be gone already. */
const AGE_SAFE_MS = DELTAS_AGE_MS - 60_000;

interface Delta {
  readonly room_id: RoomId;
  readonly position: Position;
  readonly previous?: Position;
  readonly user_id?: string;
  readonly events?: readonly OrderedEvent[];
  readonly event?: ReceiptEvent;
  readonly fully_read?: { readonly event_id: EventId; readonly order: number };
}

/** How far one subject is read. */
interface Chain {
  readonly room: RoomId;
  /** What the first kept message follows: nothing at or before it is known here. */
  readonly since: Position;
  through: Position;
}

/** Where a marker is shown, in words of the stream. */
interface Shown {
  readonly event: string;
  readonly order: number;
  /** The delta covers more of the log than is folded here: the marker may be ahead. */
  readonly ahead: boolean;
}

export class PublishedDeltas {
  readonly #rooms: ReadonlyMap<RoomId, Room>;
  readonly #changes: LastChanges;
  readonly #chains = new Map<string, Chain>();
  /** By `room user type thread`. */
  readonly #shown = new Map<string, Shown>();
  deltas = 0;

  /** `rooms` and `changes`: what the log says, folded. */
  constructor(rooms: ReadonlyMap<RoomId, Room>, changes: LastChanges) {
    this.#rooms = rooms;
    this.#changes = changes;
  }

  /** Throws a `Difference` for what contradicts the log, or the messages before. */
  read({ sequence, subject, body }: ScannedDelta): void {
    const delta = body as Delta;
    const room = this.#rooms.get(delta.room_id);
    if (room === undefined) return; // Not asked for.
    this.deltas++;
    const where = `delta ${sequence} (${subject.slice(subject.lastIndexOf(".") + 1)})`;
    const key = chainKey(delta.room_id, delta.user_id ?? (delta.events === undefined ? "receipts" : "events"));
    if (!this.#follow(key, delta, where)) return;
    const ahead = delta.position > room.position;
    for (const event of delta.events ?? [])
      if (!ahead || isFolded(room, event.event_id)) this.#event(room, event, where);
    for (const [event, types] of Object.entries(delta.event?.content ?? {})) {
      for (const [type, users] of Object.entries(types)) {
        for (const [user, { order, thread_id: thread = null }] of Object.entries(users)) {
          this.#marker(room, markerKey(room.id, user, type, thread), { event, order, ahead }, where);
        }
      }
    }
    const { fully_read: fullyRead, user_id: user } = delta;
    if (fullyRead !== undefined && user !== undefined) {
      const place = { event: fullyRead.event_id, order: fullyRead.order, ahead };
      this.#marker(room, markerKey(room.id, user, FULLY_READ, null), place, where);
    }
  }

  /** Rooms that are published beyond what is folded here, and how far. */
  beyond(): Map<RoomId, Position> {
    const beyond = new Map<RoomId, Position>();
    for (const { room, through } of this.#chains.values()) {
      if (through > Math.max(beyond.get(room) ?? 0, this.#rooms.get(room)!.position)) beyond.set(room, through);
    }
    return beyond;
  }

  /** What the log has and the stream lacks, or tells differently in its newest word; undefined when all is there. */
  lacking(now: number): Difference | undefined {
    for (const room of this.#rooms.values()) {
      for (const kind of ["events", "receipts"] as const) {
        const { position, at } = this.#changes.of(room.id)[kind];
        if (at < now - AGE_SAFE_MS) continue;
        const through = this.#chains.get(chainKey(room.id, kind))?.through ?? 0;
        if (through < position) {
          return new Difference(
            room.id,
            `${kind} changed at position ${position}, and are published through ${through}`,
          );
        }
      }
      for (const marker of room.markers) {
        const lacking = this.#lackingMarker(room, marker, now);
        if (lacking !== undefined) return lacking;
      }
    }
    return undefined;
  }

  #lackingMarker(room: Room, marker: Marker, now: number): Difference | undefined {
    const { user, type, thread, event, position } = marker;
    const chain = this.#chains.get(chainKey(room.id, isPrivate(type) ? user : "receipts"));
    const recent = this.#changes.movedAt(marker) >= now - AGE_SAFE_MS;
    if (!recent && (chain === undefined || chain.since >= position)) return undefined;
    const shown = this.#shown.get(markerKey(room.id, user, type, thread));
    const order = publishedOrder(marker);
    if (shown?.event === event && shown.order === order) return undefined;
    if (shown?.ahead && shown.order >= order) return undefined;
    // An inferred one and one whose thread was told have one name in public: the stream's newest word is of either.
    const namesakes = room.markers.of(user).filter((other) => other.type === type && other.thread === thread);
    if (namesakes.some((other) => other !== marker && other.event === shown?.event)) return undefined;
    if (thread !== null && this.#covered(room, marker)) return undefined;
    const name = `the ${type} marker of ${user}${thread === null ? "" : ` in ${thread}`}`;
    const told =
      shown === undefined ? "it was not published" : `${shown.event}, order ${shown.order} was published last`;
    return new Difference(room.id, `${name} is at ${event}, order ${order} in the log, ${told}`);
  }

  /**
   * MSC4102: where a threaded and an unthreaded marker meet on one event, only the unthreaded one is told, which then
   * stands at or after the threaded one.
   */
  #covered(room: Room, marker: Marker): boolean {
    const unthreaded = this.#shown.get(markerKey(room.id, marker.user, marker.type, null));
    return unthreaded !== undefined && unthreaded.order >= publishedOrder(marker);
  }

  /** Whether the message brings something new. */
  #follow(key: string, { room_id: room, position, previous, event, events }: Delta, where: string): boolean {
    const chain = this.#chains.get(key);
    if (previous !== undefined && previous === position && event?.content !== undefined) {
      // Too large to tell: it asks for a snapshot, and what it stood for is not in the stream.
      this.#chains.set(key, { room, since: position, through: position });
      return false;
    }
    if (chain === undefined) {
      this.#chains.set(key, { room, since: previous ?? 0, through: position });
      return true;
    }
    if (previous !== undefined && previous > chain.through) {
      const what = events === undefined ? "receipts" : "events";
      throw new Difference(
        room,
        `${where} follows position ${previous}, the ${what} delta before it ended at ${chain.through}: one is missing`,
      );
    }
    if (position <= chain.through && previous !== undefined) return false;
    chain.through = Math.max(chain.through, position);
    return true;
  }

  #event(room: Room, { event_id: id, unsigned }: OrderedEvent, where: string): void {
    const order = room.events.get(id as EventId)?.order;
    if (order !== unsigned.order) {
      throw new Difference(room.id, `${where} gives ${id} order ${unsigned.order}, the log ${String(order)}`);
    }
  }

  #marker(room: Room, key: string, place: Shown, where: string): void {
    const order = room.events.get(place.event as EventId)?.order;
    const unknown = order === undefined && place.ahead;
    if (!unknown && (order === undefined || Math.max(0, order) !== place.order)) {
      throw new Difference(
        room.id,
        `${where} puts ${key.slice(room.id.length + 1)} at ${place.event}, order ${place.order}, the log has ${String(order)}`,
      );
    }
    const before = this.#shown.get(key);
    if (before === undefined || before.order <= place.order) this.#shown.set(key, place);
  }
}

function isFolded(room: Room, id: string): boolean {
  return room.events.get(id as EventId) !== undefined;
}

function chainKey(room: RoomId, kind: string): string {
  return `${room} ${kind}`;
}

function markerKey(room: RoomId, user: string, type: string, thread: string | null): string {
  return `${room} ${user} ${type} ${thread ?? ""}`;
}

/** Where the log and what was made of it don't agree, in one sentence. */
export class Difference extends Error {
  constructor(room: RoomId, what: string) {
    super(`${room}: ${what}`);
    this.name = "Difference";
  }
}
