/**
 * The room log: one append-only stream per partition (docs/design.md#subjects, docs/design.md#records).
 *
 * A record's sequence in the stream is its place for ever. The stream denies deletion, so sequences have no holes: a hole
 * that the stream's leader confirms means a damaged log, and readers stop there (`LOG_BROKEN`). Ingress appends through its own
 * publisher, at whatever sequence comes next; `appendAt` is for an import, which keeps the sequences of the log that it copies.
 */
import type { PlacedRecord } from "../../../actors/entry.ts";
import { TidemarkError } from "../../errors.ts";
import { type RoomId, roomId } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import type { StoredMessage } from "../client/delivered.ts";
import { append, messageAt, messagesBySubject, newestMessage, streamState } from "../client/jetstream.ts";
import type { Misplaced } from "../client/leader-check.ts";
import { decodeRecord, encodeRecord } from "../contract/record.ts";
import { decodeToken, lastToken, logStream, logSubject } from "../contract/subjects.ts";

/** Where a log, or a room in it, ends now. */
export interface LogEnd {
  /** Of the newest record; 0 when there is none. */
  readonly sequence: number;
  readonly records: number;
}

const EMPTY: LogEnd = { sequence: 0, records: 0 };

/** The end of a partition's log, or of one room in it. A log that was never made is empty. */
export async function logEnd(nc: Bus, partition: number, room?: RoomId): Promise<LogEnd> {
  const stream = logStream(partition);
  if (room === undefined) {
    const state = await streamState(nc, stream);
    return state === undefined ? EMPTY : { sequence: state.last, records: state.messages };
  }
  const subject = logSubject(partition, room);
  const records = (await messagesBySubject(nc, stream, subject))?.get(subject);
  const newest = records === undefined ? undefined : await newestMessage(nc, stream, subject);
  return records === undefined || newest === undefined ? EMPTY : { sequence: newest.sequence, records };
}

/** The newest sequence of a log that was made; 0 when it is empty. Throws `LOG_BROKEN` when there is no such log any more. */
export async function lastSequence(nc: Bus, partition: number): Promise<number> {
  const state = await streamState(nc, logStream(partition));
  if (state !== undefined) return state.last;
  throw new TidemarkError(
    "LOG_BROKEN",
    `the log of partition ${partition} is gone: connect the right broker, or restore it from a backup`,
  );
}

/** The rooms of a partition, and how many records each of them has. */
export async function roomsOf(nc: Bus, partition: number): Promise<Map<RoomId, number>> {
  const subjects = await messagesBySubject(nc, logStream(partition), ">");
  return new Map(Array.from(subjects ?? [], ([subject, records]) => [roomOf(subject), records]));
}

/** The record with a sequence; undefined when the log has none. Throws `RECORD_UNREADABLE`. */
export async function recordAt(nc: Bus, partition: number, sequence: number): Promise<PlacedRecord | undefined> {
  const message = await messageAt(nc, logStream(partition), sequence);
  return message && recordIn(partition, message);
}

/** The record that a message of the log carries. Throws `RECORD_UNREADABLE`. */
export function recordIn(partition: number, { subject, sequence, data }: StoredMessage): PlacedRecord {
  return { partition, room: roomOf(subject), record: decodeRecord(sequence, data) };
}

function roomOf(subject: string): RoomId {
  const room = roomId.safeParse(decodeToken(lastToken(subject)));
  if (!room.success) throw new TidemarkError("RECORD_UNREADABLE", `the log has a record of no room: ${subject}`);
  return room.data;
}

/** What a reader of the log fails with when the stream's leader has no record where one must come. */
export function holeIn(partition: number, { expected, found }: Misplaced): TidemarkError {
  return new TidemarkError(
    "LOG_BROKEN",
    `the log of partition ${partition} has no record ${expected}, and goes on at ${found}: restore it from a backup`,
  );
}

/** Appends a record at its own sequence. Throws `BUS_MISMATCH` when the log doesn't end right before it. */
export async function appendAt(nc: Bus, { partition, room, record }: PlacedRecord): Promise<void> {
  const sequence = await append(nc, logSubject(partition, room), encodeRecord(record.at, record.entries), {
    after: { sequence: record.sequence - 1 },
  });
  if (sequence === undefined) {
    throw new TidemarkError(
      "BUS_MISMATCH",
      `record ${record.sequence} of partition ${partition} was not appended: the log does not end right before it, so something else appended to it`,
    );
  }
}
