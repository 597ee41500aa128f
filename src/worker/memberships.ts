/**
 * Memberships by user: the rooms of a partition in which a user has one, and since when (`op: rooms`).
 *
 * They follow the rooms' own membership (F10).
 */
import { hasEvent, type Position } from "../../actors/entry.ts";
import type { FoldedEntry } from "../../actors/room/outcome.ts";
import type { Member, Room } from "../../actors/room/room.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";

/** The memberships in a store. */
export interface StoredMemberships {
  roomsOf(user: UserId): Iterable<readonly [room: RoomId, member: Member]>;
}

export class Memberships {
  readonly #stored: StoredMemberships;
  /** Changes that the store doesn't have yet. */
  readonly #changed = new Map<UserId, Map<RoomId, Member>>();

  constructor(stored: StoredMemberships) {
    this.#stored = stored;
  }

  of(user: UserId): ReadonlyMap<RoomId, Member> {
    const rooms = new Map(this.#stored.roomsOf(user));
    for (const [room, member] of this.#changed.get(user) ?? []) rooms.set(room, member);
    return rooms;
  }

  /** Called when the store has everything through a position. */
  stored(through: Position): void {
    for (const [user, rooms] of this.#changed) {
      for (const [room, { position }] of rooms) if (position <= through) rooms.delete(room);
      if (rooms.size === 0) this.#changed.delete(user);
    }
  }

  /** Called once per entry, after it is folded, in log order. */
  update(room: Room, { entry }: FoldedEntry): void {
    if (!hasEvent(entry)) return;
    const [, event] = entry;
    if (event.type !== "m.room.member" || event.state_key === undefined) return;
    const user = event.state_key as UserId;
    const member = room.members.get(user);
    if (member === undefined || !room.members.isChanged(user)) return;
    let rooms = this.#changed.get(user);
    if (rooms === undefined) {
      rooms = new Map();
      this.#changed.set(user, rooms);
    }
    rooms.set(room.id, member);
  }
}
