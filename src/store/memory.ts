/** A partition's rooms in memory: they live as long as the process, and a restart folds the log again. */
import { emptyRoom, type Room } from "../../actors/room.ts";
import type { RoomStore } from "../../actors/room-store.ts";
import type { RoomId } from "../matrix/ids.ts";

export class MemoryStore implements RoomStore {
  readonly folded = 0;
  readonly #rooms = new Map<RoomId, Room>();

  load(room: RoomId): Room {
    return this.#rooms.get(room) ?? emptyRoom(room);
  }

  save(room: Room): void {
    this.#rooms.set(room.id, room);
  }
}
