/**
 * The room log: one append-only stream a partition (docs/design.md#subjects, docs/design.md#records).
 *
 * Appending goes through the shared acknowledgement inbox; the stream's sequence is the record's place for ever.
 * The log denies deletion, so sequences have no holes: one that does is a damaged log, and reading stops there.
 */
import type { NatsConnection } from "nats";
import type { LogRecord } from "../../../actors/entry.ts";
import type { RoomRecord } from "../../../actors/room/rooms.ts";
import { TidemarkError } from "../../errors.ts";
import { type RoomId, roomId } from "../../matrix/ids.ts";
import { isNotFound, translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { decodeRecord, encodeRecord } from "../contract/record.ts";
import { decodeToken, lastToken, logStream, logSubject } from "../contract/subjects.ts";

export interface LogReaderOptions {
  readonly partition: number;
  /** The first sequence to read. */
  readonly from: number;
  /** Records that are asked for ahead. */
  readonly ahead: number;
  /** What arrived together, in log order. Never empty. */
  readonly onFetch: (fetch: RoomRecord[]) => void;
  /** The log can't be read any further. */
  readonly onError: (error: unknown) => void;
}

/** The sequence of the log's newest record; 0 when it is empty. */
export async function lastSequence(nc: NatsConnection, partition: number): Promise<number> {
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  return (await jsm.streams.info(logStream(partition))).state.last_seq;
}

/** Reads a partition's log from a sequence on, and goes on with what is appended, until it is closed. */
export class LogReader {
  readonly #options: LogReaderOptions;
  readonly #reader: StreamReader;
  #fetch: RoomRecord[] = [];
  #next: number;
  #closed = false;

  constructor(nc: NatsConnection, options: LogReaderOptions) {
    const { partition, from, ahead } = options;
    this.#options = options;
    this.#next = from;
    const onMessage = (message: Delivered) => this.#received(message);
    this.#reader = new StreamReader(nc, { stream: logStream(partition), from, ahead, onMessage });
    this.#reader.opened.catch((error) => this.#fail(translate(error, `read the log of partition ${partition}`)));
  }

  /** Hands out nothing more from now on. */
  close(): void {
    this.#closed = true;
    this.#fetch = [];
    this.#reader.close();
  }

  #received(message: Delivered): void {
    try {
      this.#fetch.push(this.#read(message));
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#next = message.sequence + 1;
    // Whatever else came with the same read of the socket joins this fetch.
    if (this.#fetch.length === 1) setImmediate(() => this.#deliver());
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#options.onError(error);
  }

  #deliver(): void {
    const fetch = this.#fetch;
    this.#fetch = [];
    if (!this.#closed && fetch.length > 0) this.#options.onFetch(fetch);
  }

  #read(message: Delivered): RoomRecord {
    if (message.sequence !== this.#next) {
      throw new TidemarkError(
        "LOG_BROKEN",
        `the log of partition ${this.#options.partition} has no record ${this.#next}, and goes on at ${message.sequence}: restore it from a backup`,
      );
    }
    return { room: roomOf(message.subject, message.sequence), record: decodeRecord(message.sequence, message.data) };
  }
}

/** A record, and its room; undefined when the log has none of that sequence. */
export async function readRecord(
  nc: NatsConnection,
  partition: number,
  sequence: number,
): Promise<RoomRecord | undefined> {
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    const message = await jsm.streams.getMessage(logStream(partition), { seq: sequence });
    return { room: roomOf(message.subject, sequence), record: decodeRecord(sequence, message.data) };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw translate(error, `read record ${sequence} of partition ${partition}`);
  }
}

function roomOf(subject: string, sequence: number): RoomId {
  const room = roomId.safeParse(decodeToken(lastToken(subject)));
  if (!room.success) throw new TidemarkError("RECORD_UNREADABLE", `record ${sequence} is of no room: ${subject}`);
  return room.data;
}

/** Appends a record at a sequence that is known beforehand, for an import. */
interface PlacedRecord {
  readonly partition: number;
  readonly room: RoomId;
  readonly record: LogRecord;
}

/** Throws when the log does not end right before the record's sequence: somebody else has appended. */
export async function appendAt(nc: NatsConnection, { partition, room, record }: PlacedRecord): Promise<void> {
  try {
    await nc.jetstream().publish(logSubject(partition, room), encodeRecord(record.at, record.entries), {
      expect: { lastSequence: record.sequence - 1 },
    });
  } catch (error) {
    throw translate(error, `append record ${record.sequence} of partition ${partition}`);
  }
}
