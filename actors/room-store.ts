import type { RoomId } from "../src/matrix/ids.ts";
import type { Room } from "./room.ts";

/** Where a partition's rooms are while no actor has them. Synchronous: a fold never waits. */
export interface RoomStore {
  /** Through which sequence of the log everything that was saved is folded; 0 for nothing. */
  readonly folded: number;
  /** Activates a room: as it was saved, or an empty one. */
  load(room: RoomId): Room;
  /** Passivates a room. */
  save(room: Room): void;
}
