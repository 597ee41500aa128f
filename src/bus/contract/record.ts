/** Records of the log ↔ bytes (docs/design.md#records): `[1, at, entries]`. */
import type { Entry, LogRecord } from "../../../actors/entry.ts";
import { TidemarkError } from "../../errors.ts";
import { ENTRIES_PER_RECORD_MAX } from "../../limits.ts";
import { decode, encode } from "./codec.ts";
import { isEntry } from "./log-entry.ts";

const VERSION = 1;

export function encodeRecord(at: number, entries: readonly Entry[]): Uint8Array {
  return encode([VERSION, at, entries]);
}

/** Throws `RECORD_UNREADABLE` for what this version didn't write: it is never skipped. */
export function decodeRecord(sequence: number, bytes: Uint8Array): LogRecord {
  let record: unknown;
  try {
    record = decode(bytes);
  } catch (cause) {
    throw unreadable(sequence, "it is not MessagePack", cause);
  }
  if (!Array.isArray(record)) throw unreadable(sequence, "it is not an array");
  const [version, at, entries] = record as unknown[];
  if (version !== VERSION)
    throw unreadable(sequence, `its version is ${String(version)}, this Tidemark reads ${VERSION}`);
  if (typeof at !== "number" || !Array.isArray(entries)) throw unreadable(sequence, "its clock or entries are missing");
  if (entries.length === 0 || entries.length > ENTRIES_PER_RECORD_MAX)
    throw unreadable(sequence, `it has ${entries.length} entries`);
  if (!entries.every(isEntry)) throw unreadable(sequence, "it has an invalid entry");
  return { sequence, at, entries };
}

function unreadable(sequence: number, why: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    "RECORD_UNREADABLE",
    `record ${sequence} of the log can't be read: ${why}. Run the version of Tidemark that wrote it, or a newer one.`,
    { cause },
  );
}
