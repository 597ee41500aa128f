/**
 * The room log: one append-only stream per partition (docs/design.md#subjects, docs/design.md#records).
 *
 * A record's sequence in the stream is its place for ever. The stream denies deletion, so sequences have no holes: a hole
 * that the stream's leader confirms means a damaged log, and readers stop there (`LOG_BROKEN`). Ingress appends through its own
 * publisher, at whatever sequence comes next; `appendAt` is for an import, which must be alone.
 *
 * The first record says how the log begins: its base, above which the orders of all its rooms are (F1), and its lineage.
 */
import { BASE_MAX, type LogStart, type Order, type PlacedRecord } from "../../../actors/entry.ts";
import { TidemarkError } from "../../errors.ts";
import { type RoomId, roomId } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import type { StoredMessage } from "../client/delivered.ts";
import { append, messageAt, messagesBySubject, newestMessage, streamState } from "../client/jetstream.ts";
import type { Misplaced } from "../client/leader-check.ts";
import { decodeRecord, decodeStart, encodeStart } from "../contract/record.ts";
import { decodeToken, lastToken, logStartSubject, logStream, logSubject } from "../contract/subjects.ts";

/** Where a log, or a room in it, ends now. */
export interface LogEnd {
  /** Of the newest record; 0 when there is none. */
  readonly sequence: number;
  readonly records: number;
}

const FIRST_SEQUENCE = 1;

/** Orders of a room begin at least that many beyond those of a log that was made a millisecond earlier. */
const ORDERS_PER_MS = 1_024;

const EMPTY: LogEnd = { sequence: 0, records: 0 };

/** The end of a partition's log, or of one room in it. Throws `LOG_BROKEN` when there is no such log any more. */
export async function logEnd(nc: Bus, partition: number, room?: RoomId): Promise<LogEnd> {
  const stream = logStream(partition);
  if (room === undefined) {
    const state = await streamState(nc, stream);
    if (state === undefined) throw goneLog(partition);
    return { sequence: state.last, records: state.messages };
  }
  const subject = logSubject(partition, room);
  const bySubject = await messagesBySubject(nc, stream, subject);
  if (bySubject === undefined) throw goneLog(partition);
  const records = bySubject.get(subject);
  const newest = records === undefined ? undefined : await newestMessage(nc, stream, subject);
  return records === undefined || newest === undefined ? EMPTY : { sequence: newest.sequence, records };
}

/** The newest sequence of a log that was made; 0 when it is empty. Throws `LOG_BROKEN` when there is no such log any more. */
export async function lastSequence(nc: Bus, partition: number): Promise<number> {
  const state = await streamState(nc, logStream(partition));
  if (state === undefined) throw goneLog(partition);
  return state.last;
}

function goneLog(partition: number): TidemarkError {
  return new TidemarkError(
    "LOG_BROKEN",
    `the log of partition ${partition} is gone: connect the right broker, or restore it from a backup`,
  );
}

/** The rooms of a partition, and how many records each of them has. */
export async function roomsOf(nc: Bus, partition: number): Promise<Map<RoomId, number>> {
  const subjects = await messagesBySubject(nc, logStream(partition), ">");
  const rooms = new Map<RoomId, number>();
  for (const [subject, records] of subjects ?? []) {
    const room = roomOf(subject);
    if (room !== undefined) rooms.set(room, records);
  }
  return rooms;
}

/** The record with a sequence; undefined when the log has none. Throws `RECORD_UNREADABLE`. */
export async function recordAt(nc: Bus, partition: number, sequence: number): Promise<PlacedRecord | undefined> {
  const message = await messageAt(nc, logStream(partition), sequence);
  return message && recordIn(partition, message);
}

/** How a partition's log begins; undefined while it is empty. Throws `RECORD_UNREADABLE`. */
export async function logStart(nc: Bus, partition: number): Promise<LogStart | undefined> {
  return (await recordAt(nc, partition, FIRST_SEQUENCE))?.start;
}

/** What a message of the log is. Throws `RECORD_UNREADABLE` for a record of a newer version. */
export function recordIn(partition: number, message: StoredMessage): PlacedRecord {
  const { subject, sequence, data } = message;
  const isFirst = sequence === FIRST_SEQUENCE;
  if (subject === logStartSubject(partition)) {
    const decoded = isFirst ? decodeStart(sequence, data) : "a log begins only once";
    if (typeof decoded === "string") return strayIn(partition, message, decoded);
    const { at, start } = decoded;
    return { partition, room: undefined, record: { sequence, at, entries: [] }, start };
  }
  const room = roomOf(subject);
  if (room === undefined) return strayIn(partition, message, "its subject names no room");
  const decoded = decodeRecord(sequence, data);
  if (typeof decoded === "string") return strayIn(partition, message, decoded);
  const record = { sequence, ...decoded };
  return isFirst ? { partition, room, record, start: startAt(record.at) } : { partition, room, record };
}

function strayIn(partition: number, { sequence, at }: StoredMessage, stray: string): PlacedRecord {
  const placed = { partition, room: undefined, record: { sequence, at, entries: [] }, stray };
  return sequence === FIRST_SEQUENCE ? { ...placed, start: startAt(at) } : placed;
}

/** How a log begins that doesn't say so: as if it had been made when its first message was. */
function startAt(at: number): LogStart {
  return { base: baseAt(at), lineage: "", parent: null };
}

/** The base of a log that is made now (docs/design.md#words). `at`: Unix time in ms, by a clock that may say anything. */
export function baseAt(at: number): Order {
  return Math.min(Math.max(0, Math.floor(at) || 0) * ORDERS_PER_MS, BASE_MAX);
}

/** Gives a log its beginning, unless it has one. Throws `BUS_UNAVAILABLE`. */
export async function beginLog(
  nc: Bus,
  partition: number,
  { at, start }: { readonly at: number; readonly start: LogStart },
) {
  await append(nc, logStartSubject(partition), encodeStart(at, start), { after: { sequence: 0 } });
}

function roomOf(subject: string): RoomId | undefined {
  const room = roomId.safeParse(decodeToken(lastToken(subject)));
  return room.success ? room.data : undefined;
}

/** What a reader of the log fails with when the stream's leader has no record where one must come. */
export function holeIn(partition: number, { expected, found }: Misplaced): TidemarkError {
  return new TidemarkError(
    "LOG_BROKEN",
    `the log of partition ${partition} has no record ${expected}, and goes on at ${found}: restore it from a backup`,
  );
}

export interface AppendedAt {
  readonly partition: number;
  readonly room: RoomId;
  readonly sequence: number;
  /** An encoded record. */
  readonly bytes: Uint8Array;
}

/** Appends a record at a sequence. Throws `BUS_MISMATCH` when the log doesn't end right before it. */
export async function appendAt(nc: Bus, { partition, room, sequence, bytes }: AppendedAt): Promise<void> {
  const appended = await append(nc, logSubject(partition, room), bytes, { after: { sequence: sequence - 1 } });
  if (appended === undefined) {
    throw new TidemarkError(
      "BUS_MISMATCH",
      `record ${sequence} of partition ${partition} was not appended: the log does not end right before it, so something else appended to it`,
    );
  }
}
