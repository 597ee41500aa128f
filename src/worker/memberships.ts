/**
 * Which rooms of a partition each user has a membership in, and since when: for whoever serves users, not rooms.
 *
 * It follows the rooms' own membership (F10), so it says nothing that the fold does not.
 */
import { type Entry, type Position, RECEIPT } from "../../actors/entry.ts";
import type { Room } from "../../actors/room.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";

export interface Membership {
  /** `join`, `leave`, `invite` …, as the member event says. */
  readonly membership: string;
  /** The entry that changed it; one that only changed a display name is none. */
  readonly position: Position;
}

const NONE: ReadonlyMap<RoomId, Membership> = new Map();

export class Memberships {
  readonly #byUser = new Map<UserId, Map<RoomId, Membership>>();

  of(user: UserId): ReadonlyMap<RoomId, Membership> {
    return this.#byUser.get(user) ?? NONE;
  }

  /** Follows an entry that was just folded. */
  note(room: Room, position: Position, entry: Entry): void {
    if (entry[0] === RECEIPT) return;
    const [, event] = entry;
    if (event.type !== "m.room.member" || event.state_key === undefined) return;
    const user = event.state_key as UserId;
    const membership = room.members.get(user);
    if (membership === undefined) return;
    let rooms = this.#byUser.get(user);
    if (rooms === undefined) {
      rooms = new Map();
      this.#byUser.set(user, rooms);
    }
    if (rooms.get(room.id)?.membership !== membership) rooms.set(room.id, { membership, position });
  }
}
