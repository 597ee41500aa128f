/**
 * The format of exported logs: lines of JSON. `export` writes it; `import`, `replay --file` and the inspector's page
 * read it.
 *
 *     {"tidemark":"log","v":2,"partitions":8,"scope":{"room":"!a:b"},"redacted":false,"crc":"…"}
 *     {"partition":3,"at":1795295119726,"base":1838382202600448,"lineage":"…","parent":null,"crc":"…"}    before a partition's records
 *     {"partition":3,"sequence":17,"room":"!a:b","at":1795295119731,"entries":[…],"crc":"…"}              one line per record
 *     {"records":1,"entries":4,"crc":"…"}                                                                 the last line
 *
 * `entries` are the tuples of the log (docs/design.md#records), with null for what is no entry; messages that are no records are
 * left out. So the file folds to what the log folds to. Each `crc` is the CRC-32 of its
 * line up to the `crc`, continued from the `crc` of the line before. So the first line that was changed, moved, lost or
 * added is found, and a truncated file lacks its last line. This detects accidents, not manipulation.
 *
 * Nothing here does I/O, so that the inspector's page can use it in a browser.
 */
import {
  type Entry,
  type EventEntry,
  hasEvent,
  ORDER_MAX,
  type PlacedRecord,
  type RoomRecord,
} from "../../actors/entry.ts";
import { isWholeEntry } from "../bus/contract/log-entry.ts";
import { reasonOf } from "../errors.ts";
import { ENTRIES_PER_RECORD_MAX, PARTITIONS_MAX } from "../limits.ts";
import { essential } from "../matrix/essential.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { crc32 } from "./crc32.ts";

/** Versions of the format: 1 had no bases, and was never released. */
const VERSION = 2;

/** Positions of later records could not be written exactly. */
const SEQUENCE_MAX = Math.floor(Number.MAX_SAFE_INTEGER / ENTRIES_PER_RECORD_MAX) - 1;

export type Scope = { readonly room: string } | { readonly partition: number } | { readonly all: true };

export interface LogHeader {
  /** The partition count of the broker that it was exported from. */
  readonly partitions: number;
  readonly scope: Scope;
  /** Whether message content is left out. */
  readonly redacted: boolean;
}

/** The file is not as `export` wrote it. Names the first damaged line. */
export class DamagedLogError extends Error {
  readonly line: number;

  constructor(line: number, reason: string) {
    super(`line ${line}: ${reason}`);
    this.name = "DamagedLogError";
    this.line = line;
  }
}

export class LogLineWriter {
  readonly #redact: boolean;
  #crc = 0;
  #records = 0;
  #entries = 0;

  constructor(redact: boolean) {
    this.#redact = redact;
  }

  header(header: LogHeader): string {
    const { partitions, scope, redacted } = header;
    return this.#line({ tidemark: "log", v: VERSION, partitions, scope, redacted });
  }

  /** The lines of a message of the log. */
  record({ partition, room, record: { sequence, at, entries }, start }: PlacedRecord): string {
    const begins = start === undefined ? "" : this.#line({ partition, at, ...start });
    if (room === undefined) return begins;
    this.#records++;
    this.#entries += entries.length;
    const written = this.#redact ? entries.map(withoutContent) : entries;
    return begins + this.#line({ partition, sequence, room, at, entries: written });
  }

  end(): string {
    return this.#line({ records: this.#records, entries: this.#entries });
  }

  #line(value: object): string {
    const text = JSON.stringify(value).slice(0, -1);
    this.#crc = crc32(text, this.#crc);
    return `${text},"crc":"${hex(this.#crc)}"}\n`;
  }
}

/** Reads the lines of a file, one by one and in order. */
export class LogLineReader {
  header: LogHeader | undefined;
  #line = 0;
  #crc = 0;
  #records = 0;
  #entries = 0;
  #ended = false;
  readonly #sequences = new Map<number, number>();

  /** Returns what a line has of a log; undefined for the first and the last line. Throws `DamagedLogError`. */
  read(line: string): PlacedRecord | undefined {
    this.#line++;
    if (this.#ended) throw this.#damaged("there is a line after the last one");
    const value = this.#parse(line);
    if (this.header === undefined) {
      this.header = this.#header(value);
      return undefined;
    }
    if ("base" in value) return this.#start(value);
    if (!("sequence" in value)) {
      this.#end(value);
      return undefined;
    }
    const read = this.#record(value);
    this.#records++;
    this.#entries += read.record.entries.length;
    return read;
  }

  /** Must be called after the last line. Throws `DamagedLogError` if the file is truncated. */
  finish(): void {
    if (!this.#ended) {
      this.#line++;
      throw this.#damaged(this.header === undefined ? "the file is empty" : "the file is truncated here");
    }
  }

  #parse(line: string): Record<string, unknown> {
    const match = /^(\{.*),"crc":"([0-9a-f]{8})"\}$/su.exec(line);
    if (match === null)
      throw this.#damaged(this.#line === 1 ? "this is not a log that tidemark exported" : "it is truncated");
    const crc = crc32(match[1]!, this.#crc);
    if (hex(crc) !== match[2]) {
      throw this.#damaged("its checksum is wrong: it was changed, or lines are missing before it");
    }
    this.#crc = crc;
    try {
      return JSON.parse(`${match[1]}}`) as Record<string, unknown>;
    } catch (error) {
      throw this.#damaged(`it is not JSON: ${reasonOf(error)}`);
    }
  }

  #header(value: Record<string, unknown>): LogHeader {
    const { tidemark, v, partitions, scope, redacted } = value;
    if (tidemark !== "log") throw this.#damaged("this is not a log that tidemark exported");
    if (v !== VERSION) throw this.#damaged(`the file's version is ${String(v)}, this Tidemark reads ${VERSION}`);
    if (
      !isCount(partitions) ||
      partitions < 1 ||
      partitions > PARTITIONS_MAX ||
      typeof scope !== "object" ||
      scope === null
    ) {
      throw this.#damaged("its partition count or scope is missing or invalid");
    }
    return { partitions, scope: scope as Scope, redacted: redacted === true };
  }

  #start(value: Record<string, unknown>): PlacedRecord {
    const { at, base, lineage, parent } = value;
    const partition = this.#partition(value);
    if (this.#sequences.has(partition)) throw this.#damaged("its partition has begun before");
    if (!isCount(base) || base > ORDER_MAX) throw this.#damaged("its base is invalid");
    if (typeof lineage !== "string" || (parent !== null && typeof parent !== "string")) {
      throw this.#damaged("its lineage is missing");
    }
    if (typeof at !== "number") throw this.#damaged("its clock is missing");
    this.#sequences.set(partition, 0);
    return { partition, room: undefined, record: { sequence: 0, at, entries: [] }, start: { base, lineage, parent } };
  }

  #partition({ partition }: Record<string, unknown>): number {
    if (!isCount(partition) || partition >= this.header!.partitions) throw this.#damaged("its partition is invalid");
    return partition;
  }

  #record(value: Record<string, unknown>): RoomRecord {
    const { sequence, at, entries } = value;
    const room = roomId.safeParse(value.room);
    if (!room.success) throw this.#damaged("its room id is invalid");
    const partition = this.#partition(value);
    const before = this.#sequences.get(partition);
    if (before === undefined) throw this.#damaged("its partition has no base before it");
    if (!isCount(sequence) || sequence > SEQUENCE_MAX || sequence <= before) {
      throw this.#damaged(`its sequence ${String(sequence)} does not follow the one before`);
    }
    this.#sequences.set(partition, sequence);
    if (!isCount(at)) throw this.#damaged("its clock is missing or invalid");
    if (!Array.isArray(entries) || entries.length === 0 || entries.length > ENTRIES_PER_RECORD_MAX) {
      throw this.#damaged("its entries are missing");
    }
    if (!entries.every(isEntryOrNull)) {
      throw this.#damaged(`its entry ${entries.findIndex((entry) => !isEntryOrNull(entry))} is invalid`);
    }
    const stray = entries.findIndex((entry) => roomOf(entry) !== undefined && roomOf(entry) !== room.data);
    if (stray >= 0) throw this.#damaged(`its entry ${stray} is of another room`);
    return { partition, room: room.data, record: { sequence, at, entries } };
  }

  #end({ records, entries }: Record<string, unknown>): void {
    if (records !== this.#records || entries !== this.#entries) {
      throw this.#damaged(`it counts ${String(records)} records, the file has ${this.#records}`);
    }
    this.#ended = true;
  }

  #damaged(reason: string): DamagedLogError {
    return new DamagedLogError(this.#line, reason);
  }
}

/** The room that an event names: ingress refuses an event that names another room than its subject. */
function roomOf(entry: Entry | null): RoomId | undefined {
  return entry !== null && hasEvent(entry) ? entry[1].room_id : undefined;
}

function isEntryOrNull(entry: unknown): entry is Entry | null {
  return entry === null || isWholeEntry(entry);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}

/** Removes what the fold doesn't read. */
function withoutContent(entry: Entry | null): Entry | null {
  if (entry === null || !hasEvent(entry)) return entry;
  const reduced = [...entry] satisfies EventEntry;
  reduced[1] = essential(entry[1]);
  return reduced;
}
