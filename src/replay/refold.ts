/** Folds records again, with the fold that workers use, and tells every step. */
import { type LogRecord, type Position, positionOf } from "../../actors/entry.ts";
import { fold, type Outcome } from "../../actors/room/fold.ts";
import type { Marker } from "../../actors/room/markers.ts";
import { Room } from "../../actors/room/room.ts";
import type { RoomId } from "../matrix/ids.ts";
import { isPrivate } from "../matrix/receipt-types.ts";
import { type Step, stepOf } from "./history/step.ts";

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

/** An entry that changed something, and its record's clock. */
export interface Change {
  readonly position: Position;
  readonly at: number;
}

export class FoldedRooms {
  readonly rooms = new Map<RoomId, Room>();
  /** The newest event of a room, and the newest move of a public marker. */
  readonly #changed = new Map<RoomId, { events: Change; receipts: Change }>();
  /** When a marker came to stand where it stands. */
  readonly #movedAt = new Map<Marker, number>();
  entries = 0;

  fold(id: RoomId, { sequence, at, entries }: LogRecord): void {
    let room = this.rooms.get(id);
    if (room === undefined) {
      room = new Room(id);
      this.rooms.set(id, room);
    }
    let position = positionOf(sequence, 0);
    for (const entry of entries) {
      this.#note(room, { position, at }, fold(room, position, entry));
      this.entries++;
      position++;
    }
  }

  changed(room: RoomId): { readonly events: Change; readonly receipts: Change } {
    return this.#changed.get(room) ?? { events: NEVER, receipts: NEVER };
  }

  movedAt(marker: Marker): number {
    return this.#movedAt.get(marker) ?? 0;
  }

  #note(room: Room, change: Change, outcome: Outcome): void {
    const judgements = outcome.outcome === "ordered" ? outcome.settled.map(({ judgement }) => judgement) : [outcome];
    if (outcome.outcome === "ordered") this.#changes(room).events = change;
    for (const judgement of judgements) {
      if (judgement.outcome !== "advanced" && judgement.outcome !== "released") continue;
      this.#movedAt.set(judgement.marker, change.at);
      if (!isPrivate(judgement.marker.type)) this.#changes(room).receipts = change;
    }
  }

  #changes(room: Room): { events: Change; receipts: Change } {
    let changes = this.#changed.get(room.id);
    if (changes === undefined) {
      changes = { events: NEVER, receipts: NEVER };
      this.#changed.set(room.id, changes);
    }
    return changes;
  }
}

const NEVER: Change = { position: 0, at: 0 };
