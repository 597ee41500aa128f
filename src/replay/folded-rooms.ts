/** Rooms folded from the log, and when what is published of them changed last. */
import { type LogRecord, type Position, positionOf } from "../../actors/entry.ts";
import { fold, type Outcome } from "../../actors/fold.ts";
import type { Marker } from "../../actors/markers.ts";
import { Room } from "../../actors/room.ts";
import type { RoomId } from "../matrix/ids.ts";
import { READ } from "../matrix/receipt.ts";

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
      if (judgement.marker.type === READ) this.#changes(room).receipts = change;
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
