/**
 * Records of the log ↔ bytes (docs/design.md#records): `[version, at, entries]`.
 *
 *     version 1    live and backfilled events, state, receipts
 *     version 2    also history, orders of imported events, `as_of` of state, accepted receipts, erasures; the start of a log
 *
 * A record has the lowest version that can say what is in it. A worker reads the versions up to its own, and stops at a newer
 * one. A message that is no record is passed over, and an item that is no valid entry is null: the same on every worker.
 */
import { BASE, type Entry, ERASURE, HISTORY, type LogStart, type Order, RECEIPT } from "../../../actors/entry.ts";
import { TidemarkError } from "../../errors.ts";
import { ENTRIES_PER_RECORD_MAX } from "../../limits.ts";
import { decode, encode } from "./codec.ts";
import { isEntry } from "./log-entry.ts";

/** The newest version that this program writes and reads. */
export const RECORD_VERSION = 2;
/** What every worker reads. */
export const FIRST_RECORD_VERSION = 1;

/** Entries as they are in a record. */
export interface EncodedEntries {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** The lowest version of a record with them. */
  readonly version: number;
  /** Whether all are receipts. */
  readonly isReceipts: boolean;
}

export function encodeEntries(entries: readonly Entry[]): EncodedEntries {
  return {
    bytes: encode(entries).subarray(arrayHead(entries.length).length),
    count: entries.length,
    version: versionOf(entries),
    isReceipts: entries.every(([kind]) => kind === RECEIPT),
  };
}

/** The lowest version that can say what these entries are. */
function versionOf(entries: readonly Entry[]): number {
  return entries.every(isOfFirstVersion) ? FIRST_RECORD_VERSION : RECORD_VERSION;
}

/** How a record of these entries begins: all before the first entry. */
export function recordHead(at: number, entries: readonly Entry[]): Uint8Array {
  return headOf(at, versionOf(entries), entries.length);
}

function headOf(at: number, version: number, count: number): Uint8Array {
  return Buffer.concat([encode([version, at, []]).subarray(0, -EMPTY_ARRAY_BYTES), arrayHead(count)]);
}

/** The items of an entry of version 1: kind and event, or kind and what a receipt has. */
const EVENT_ITEMS = 2;
const RECEIPT_ITEMS = 7;

function isOfFirstVersion(entry: Entry): boolean {
  return (
    entry[0] !== HISTORY && entry[0] !== ERASURE && entry.length <= (entry[0] === RECEIPT ? RECEIPT_ITEMS : EVENT_ITEMS)
  );
}

/** `at`: Unix time in ms. */
export function encodeRecord(at: number, entries: readonly Entry[]): Uint8Array {
  return joinRecord(at, [encodeEntries(entries)]);
}

/** A record with the entries of several requests. */
export function joinRecord(at: number, parts: readonly EncodedEntries[]): Uint8Array {
  let [count, size, version] = [0, 0, FIRST_RECORD_VERSION];
  for (const part of parts) {
    count += part.count;
    size += part.bytes.length;
    version = Math.max(version, part.version);
  }
  const head = headOf(at, version, count);
  const record = Buffer.allocUnsafe(head.length + size);
  record.set(head, 0);
  let end = head.length;
  for (const { bytes } of parts) {
    record.set(bytes, end);
    end += bytes.length;
  }
  return record;
}

const EMPTY_ARRAY_BYTES = 1;
const FIX_ARRAY = 0x90;
const FIX_ARRAY_MAX = 15;
const ARRAY_16 = 0xdc;

/** How MessagePack begins an array of so many items, of at most 65,535. */
function arrayHead(count: number): Uint8Array {
  return Uint8Array.from(count > FIX_ARRAY_MAX ? [ARRAY_16, count >> 8, count & 0xff] : [FIX_ARRAY | count]);
}

export function encodeStart(at: number, { base, lineage, parent }: LogStart): Uint8Array {
  return encode([RECORD_VERSION, at, [[BASE, base, lineage, parent]]]);
}

/** What a message of the log says; or, as text, why it is no record. */
export type Decoded = { readonly at: number; readonly entries: readonly (Entry | null)[] } | string;

/** Throws `RECORD_UNREADABLE` for a record of a newer version: it is never passed over. */
export function decodeRecord(sequence: number, bytes: Uint8Array): Decoded {
  const items = itemsOf(sequence, bytes);
  if (typeof items === "string") return items;
  const { at, entries } = items;
  return { at, entries: entries.map((entry) => (isEntry(entry) ? entry : null)) };
}

/** How a log begins, by the record of its own subject; or, as text, why it is none. Throws `RECORD_UNREADABLE`. */
export function decodeStart(
  sequence: number,
  bytes: Uint8Array,
): { readonly at: number; readonly start: LogStart } | string {
  const items = itemsOf(sequence, bytes);
  if (typeof items === "string") return items;
  const [entry] = items.entries;
  if (!Array.isArray(entry) || items.entries.length !== 1) return "it has no base";
  const [kind, base, lineage, parent] = entry as unknown[];
  if (kind !== BASE || !isBase(base)) return "its base is not a positive integer";
  if (typeof lineage !== "string" || (parent !== null && typeof parent !== "string")) return "its lineage is missing";
  return { at: items.at, start: { base, lineage, parent } };
}

function isBase(base: unknown): base is Order {
  return Number.isSafeInteger(base) && (base as number) >= 0;
}

interface Items {
  readonly at: number;
  readonly entries: readonly unknown[];
}

function itemsOf(sequence: number, bytes: Uint8Array): Items | string {
  let record: unknown;
  try {
    record = decode(bytes);
  } catch {
    return "it is not MessagePack";
  }
  if (!Array.isArray(record)) return "it is not an array";
  const [version, at, entries] = record as unknown[];
  if (!Number.isSafeInteger(version) || (version as number) < FIRST_RECORD_VERSION) return "it has no version";
  if ((version as number) > RECORD_VERSION) throw tooNew(sequence, version as number);
  if (typeof at !== "number" || !Array.isArray(entries)) return "its clock or entries are missing";
  if (entries.length === 0 || entries.length > ENTRIES_PER_RECORD_MAX) return `it has ${entries.length} entries`;
  return { at, entries };
}

function tooNew(sequence: number, version: number): TidemarkError {
  return new TidemarkError(
    "RECORD_UNREADABLE",
    `record ${sequence} of the log can't be read: its version is ${version}, this Tidemark reads up to ${RECORD_VERSION}. Run the version of Tidemark that wrote it, or a newer one.`,
  );
}
