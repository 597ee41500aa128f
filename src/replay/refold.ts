/** Folds records again, with the fold that workers use, and tells every step. */
import { type LogRecord, type Position, positionOf } from "../../actors/entry.ts";
import { fold } from "../../actors/fold.ts";
import { Room } from "../../actors/room.ts";
import type { RoomId } from "../matrix/ids.ts";
import { type Step, stepOf } from "./step.ts";

/** How far a replay goes. */
export interface Until {
  /** The last position. */
  readonly position?: Position;
  /** ms since 1970: the last record is the one before the first with a later clock. */
  readonly at?: number;
}

export class Refold {
  readonly #rooms = new Map<RoomId, Room>();
  readonly #until: Until;
  #entries = 0;
  #over = false;

  constructor(until: Until = {}) {
    this.#until = until;
  }

  /** How many entries were folded. */
  get entries(): number {
    return this.#entries;
  }

  /** Whether a record came that lies beyond the end. */
  get over(): boolean {
    return this.#over;
  }

  rooms(): IterableIterator<Room> {
    return this.#rooms.values();
  }

  room(id: RoomId): Room {
    let room = this.#rooms.get(id);
    if (room === undefined) {
      room = new Room(id);
      this.#rooms.set(id, room);
    }
    return room;
  }

  /** Folds a record, and hands out its steps. Without `tell` it only folds. */
  fold(id: RoomId, record: LogRecord, tell?: (step: Step) => void): void {
    const { at, entries } = record;
    const { position: last = Number.POSITIVE_INFINITY, at: end = Number.POSITIVE_INFINITY } = this.#until;
    if (this.#over || at > end) {
      this.#over = true;
      return;
    }
    const room = this.room(id);
    let position = positionOf(record.sequence, 0);
    for (const entry of entries) {
      if (position > last) {
        this.#over = true;
        return;
      }
      const outcome = fold(room, position, entry);
      this.#entries++;
      tell?.(stepOf(room, { position, at, entry, outcome }));
      position++;
    }
  }
}
