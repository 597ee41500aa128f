/** Turns histories of a room into log records, and the recorded session into requests. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Entry, indexOf, type LogRecord, type PlacedRecord, sequenceOf } from "../../actors/entry.ts";
import type { Bus } from "../../src/bus/client/connection.ts";
import { decodeRecord, encodeRecord } from "../../src/bus/contract/record.ts";
import { appendAt } from "../../src/bus/log/log.ts";
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

/** A record that must be one. */
export function decodedRecord(sequence: number, bytes: Uint8Array): LogRecord {
  const decoded = decodeRecord(sequence, bytes);
  if (typeof decoded === "string") throw new Error(decoded);
  return { sequence, ...decoded };
}

/** Its entries, all of which must be valid. */
export function entriesOf({ entries }: LogRecord): Entry[] {
  return entries.map((entry) => {
    if (entry === null) throw new Error("an entry is not valid");
    return entry;
  });
}

/** Appends a record at its own sequence, as an import does. */
export function appendRecord(nc: Bus, { partition, room, record }: PlacedRecord): Promise<void> {
  const bytes = encodeRecord(record.at, entriesOf(record));
  return appendAt(nc, { partition, room: room!, sequence: record.sequence, bytes });
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
