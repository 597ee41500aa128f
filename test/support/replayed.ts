/** Replays entries into a history. Each is a record of its own: the nth at position `at(n)`, n seconds after 1970. */
import type { Entry } from "../../actors/entry.ts";
import { RoomHistory } from "../../src/replay/history/room-history.ts";
import { type Step, stepOf } from "../../src/replay/history/step.ts";
import { Refold } from "../../src/replay/refold.ts";
import { ROOM } from "./example-room.ts";

export interface Replayed {
  readonly steps: readonly Step[];
  readonly history: RoomHistory;
}

export function replayed(...entries: readonly Entry[]): Replayed {
  const refold = new Refold();
  const history = new RoomHistory(ROOM);
  entries.forEach((entry, index) => {
    const sequence = index + 1;
    const record = { sequence, at: sequence * 1_000, entries: [entry] };
    refold.fold({ partition: 0, room: ROOM, record }, (room, folded) => history.add(stepOf(room, folded)));
  });
  return { steps: history.steps, history };
}
