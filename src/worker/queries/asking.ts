/** The room that a question is about, and what else its answer needs. */
import type { Room } from "../../../actors/room/room.ts";
import type { ReadBodies } from "./seen-bodies.ts";
import type { SizeOf } from "./sizes.ts";

export interface Asking {
  readonly room: Room;
  readonly bodies: ReadBodies;
  /** In the encoding of the answer. */
  readonly sizeOf: SizeOf;
}
