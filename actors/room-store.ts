import type { RoomId } from "../src/matrix/ids.ts";
import type { Room } from "./room.ts";

/** Where a partition's rooms are while no actor has them. Synchronous: a fold never waits. */
export interface RoomStore {
  /** Activates a room: as it was stored, or an empty one. */
  load(room: RoomId): Room;
  /** Whether the room was ever stored. */
  has(room: RoomId): boolean;
}
