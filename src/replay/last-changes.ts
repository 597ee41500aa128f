/** The last public changes of each room according to its log. The delta stream must have them. */
import type { Position } from "../../actors/entry.ts";
import { memberSet } from "../../actors/partition/changes.ts";
import type { Folded } from "../../actors/room/fold.ts";
import type { Marker } from "../../actors/room/marker.ts";
import type { RoomId } from "../matrix/ids.ts";
import { isPrivate } from "../matrix/receipt-types.ts";

/** An entry that changed something, and the clock of its record in Unix ms. */
interface Change {
  readonly position: Position;
  readonly at: number;
}

const NEVER: Change = { position: 0, at: 0 };

export class LastChanges {
  /** The newest event of a room, or member event of a `state` entry, and the newest move of a public marker, or erasure. */
  readonly #changes = new Map<RoomId, { events: Change; receipts: Change }>();
  readonly #movedAt = new Map<Marker, number>();

  /** Called once per entry, in log order. */
  readonly add: Folded = (room, { position, at, entry, outcome }) => {
    const change = { position, at };
    const judgements = "judged" in outcome ? outcome.judged.map(({ judgement }) => judgement) : [outcome];
    const isEvents = outcome.outcome === "ordered" || memberSet(room, position, entry) !== undefined;
    if (isEvents) this.#of(room.id).events = change;
    if (outcome.outcome === "erased") this.#of(room.id).receipts = change;
    for (const judgement of judgements) {
      if (judgement.outcome !== "advanced" && judgement.outcome !== "released") continue;
      this.#movedAt.set(judgement.marker, at);
      if (!isPrivate(judgement.marker.type)) this.#of(room.id).receipts = change;
    }
  };

  of(room: RoomId): { readonly events: Change; readonly receipts: Change } {
    return this.#changes.get(room) ?? { events: NEVER, receipts: NEVER };
  }

  /** The clock of the record that moved a marker to its place, in Unix ms. */
  movedAt(marker: Marker): number {
    return this.#movedAt.get(marker) ?? 0;
  }

  #of(room: RoomId): { events: Change; receipts: Change } {
    let changes = this.#changes.get(room);
    if (changes === undefined) {
      changes = { events: NEVER, receipts: NEVER };
      this.#changes.set(room, changes);
    }
    return changes;
  }
}
