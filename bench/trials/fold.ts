/** The fold alone, in memory: decoded entries of rooms in memory, each of which advances a marker. */
import { type LogRecord, positionOf } from "../../actors/entry.ts";
import { type Folded, fold, foldRecord } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { decodeRecord, encodeRecord } from "../../src/bus/contract/record.ts";
import { LONG_AGO, liveEvent, receipt, roomOf } from "../entries.ts";
import type { Trial } from "../trial.ts";

const ROOMS = 200;
const USERS = 128;
const PER_RECORD = 64;

export const foldTrial: Trial = {
  id: "fold",
  measure: async ({ scale }) => {
    const events = scale === "full" ? 40 : 16;
    const repetitions = scale === "full" ? 7 : 3;
    const alone: number[] = [];
    const decoded: number[] = [];
    for (let n = -1; n < repetitions; n++) {
      const rates = repetition(events);
      if (n < 0) continue; // warm-up
      alone.push(rates.fold);
      decoded.push(rates.decodeAndFold);
    }
    return [
      { id: "fold", title: "fold alone, in memory, receipts", unit: "1/s", values: alone },
      { id: "fold_decoded", title: "decode and fold, in memory, receipts", unit: "1/s", values: decoded },
    ];
  },
};

function repetition(events: number): { readonly fold: number; readonly decodeAndFold: number } {
  const rooms = Array.from({ length: ROOMS }, (_, n) => new Room(roomOf(n), 0));
  for (const room of rooms) for (let n = 0; n < events; n++) fold(room, positionOf(1, n), liveEvent(n));
  let sequence = 2;
  let count = 0;
  // If a receipt does not advance a marker, the figure measures something else.
  const advanced: Folded = (_, { outcome: { outcome } }) => {
    if (outcome !== "advanced") throw new Error(`a receipt was ${outcome}`);
    count++;
  };
  let foldMs = 0;
  let decodeMs = 0;
  for (let event = 0; event < events; event++) {
    for (let first = 0; first < USERS; first += PER_RECORD) {
      const bytes = encodeRecord(
        LONG_AGO,
        Array.from({ length: PER_RECORD }, (_, i) => receipt(first + i, event)),
      );
      const started = performance.now();
      // Decoded for each room, because strings from the log are not shared.
      const records = rooms.map(() => decoded(sequence++, bytes));
      const decodedAt = performance.now();
      for (const [i, room] of rooms.entries()) foldRecord(room, records[i]!, advanced);
      foldMs += performance.now() - decodedAt;
      decodeMs += decodedAt - started;
    }
  }
  return { fold: (count * 1_000) / foldMs, decodeAndFold: (count * 1_000) / (foldMs + decodeMs) };
}

function decoded(sequence: number, bytes: Uint8Array): LogRecord {
  const record = decodeRecord(sequence, bytes);
  if (typeof record === "string") throw new Error(record);
  return { sequence, ...record };
}
