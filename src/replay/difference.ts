import type { RoomId } from "../matrix/ids.ts";

/** Where the log and what was made of it don't agree, in one sentence. */
export class Difference extends Error {
  constructor(room: RoomId, what: string) {
    super(`${room}: ${what}`);
    this.name = "Difference";
  }
}
