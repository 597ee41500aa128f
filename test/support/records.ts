/** Turns histories of a room into log records, and the recorded session into requests. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { indexOf, type LogRecord, sequenceOf } from "../../actors/entry.ts";
import type { Positioned } from "./arbitraries.ts";

/** Returns the entries in the records that their positions name. The time of a record is its sequence, in seconds. */
export function recordsOf(history: readonly Positioned[]): LogRecord[] {
  const records: { sequence: number; at: number; entries: Positioned["entry"][] }[] = [];
  for (const { position, entry } of history) {
    const sequence = sequenceOf(position);
    if (indexOf(position) === 0) records.push({ sequence, at: sequence * 1_000, entries: [] });
    records.at(-1)!.entries.push(entry);
  }
  return records;
}

export interface SessionRequest {
  readonly kind: "event" | "receipt";
  readonly room: string;
  readonly body: Record<string, unknown>;
}

const SESSION = join(import.meta.dirname, "../fixtures/synapse-session/session.ndjson");

/** The recorded session, in order of arrival. The ephemeral part is left out: it lacks `thread_id`. */
export function session(): SessionRequest[] {
  return readFileSync(SESSION, "utf8")
    .trim()
    .split("\n")
    .flatMap((line): SessionRequest[] => {
      const { transaction, receipt } = JSON.parse(line);
      if (receipt !== undefined) {
        const { room_id: room, ...body } = receipt;
        return [{ kind: "receipt", room, body }];
      }
      return transaction.body.events.map((body: Record<string, unknown>) => ({
        kind: "event",
        room: body.room_id,
        body,
      }));
    });
}
