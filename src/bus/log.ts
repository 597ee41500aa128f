/**
 * The room log: one append-only stream a partition (DESIGN 4.1, 4.3).
 *
 * Appending goes through the shared acknowledgement inbox; the stream's sequence is the record's place for ever.
 * Reading is an ordered consumer, which acknowledges nothing and makes itself anew after a gap or a lost connection.
 * The log denies deletion, so sequences have no holes: one that does is a damaged log, and reading stops there.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Consumer, ConsumerMessages, JsMsg, NatsConnection } from "nats";
import { DeliverPolicy } from "nats";
import type { RoomRecord } from "../../actors/rooms.ts";
import { TidemarkError } from "../errors.ts";
import { CONSUMER_EXPIRES_MS, CONSUMER_HEARTBEAT_MS, FETCH_RECORDS_MAX } from "../limits.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { isNotFound, translate } from "./connection.ts";
import { decodeRecord } from "./record.ts";
import { decodeToken, lastToken, logStream } from "./subjects.ts";

const OPENING_LIMIT_MS = 2_000;

export interface LogReaderOptions {
  readonly partition: number;
  /** The first sequence to read. */
  readonly from: number;
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
  readonly #nc: NatsConnection;
  #consumer: Consumer | undefined;
  #messages: ConsumerMessages | undefined;
  #fetch: RoomRecord[] = [];
  #next: number;
  #closed = false;

  private constructor(nc: NatsConnection, options: LogReaderOptions) {
    this.#nc = nc;
    this.#options = options;
    this.#next = options.from;
  }

  static async open(nc: NatsConnection, options: LogReaderOptions): Promise<LogReader> {
    const reader = new LogReader(nc, options);
    const opening = reader.#open();
    track(nc, opening);
    await opening;
    return reader;
  }

  /**
   * Resolves when no reader of this connection is being opened, or after a moment. To be waited for before the connection is
   * closed: the client goes on trying to make a consumer, for a minute, and keeps the process alive for it.
   */
  static async settled(nc: NatsConnection): Promise<void> {
    const limit = delay(OPENING_LIMIT_MS, undefined, { ref: false });
    await Promise.race([limit, Promise.allSettled(openings.get(nc) ?? [])]);
  }

  async #open(): Promise<void> {
    const { partition, from } = this.#options;
    try {
      this.#consumer = await this.#nc.jetstream().consumers.get(logStream(partition), {
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: from,
      });
      this.#messages = await this.#consumer.consume({
        max_messages: FETCH_RECORDS_MAX,
        expires: CONSUMER_EXPIRES_MS,
        idle_heartbeat: CONSUMER_HEARTBEAT_MS,
        callback: (message) => this.#received(message),
      });
    } catch (error) {
      throw translate(error, `read the log of partition ${partition}`);
    }
    if (this.#closed) this.#stop();
  }

  /** Hands out nothing more from now on. */
  close(): void {
    this.#closed = true;
    this.#fetch = [];
    this.#stop();
  }

  /** The broker would keep the consumer for minutes, and a long replay opens many. */
  #stop(): void {
    if (this.#messages === undefined) return;
    this.#messages.stop();
    this.#consumer?.delete().catch(() => {});
  }

  #received(message: JsMsg): void {
    if (this.#closed || message.seq < this.#next) return;
    try {
      this.#fetch.push(this.#read(message));
    } catch (error) {
      this.close();
      this.#options.onError(error);
      return;
    }
    this.#next = message.seq + 1;
    // Whatever else came with the same read of the socket joins this fetch.
    if (this.#fetch.length === 1) setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    const fetch = this.#fetch;
    this.#fetch = [];
    if (!this.#closed && fetch.length > 0) this.#options.onFetch(fetch);
  }

  #read(message: JsMsg): RoomRecord {
    if (message.seq !== this.#next) {
      throw new TidemarkError(
        "LOG_BROKEN",
        `the log of partition ${this.#options.partition} has no record ${this.#next}, and goes on at ${message.seq}: restore it from a backup`,
      );
    }
    return { room: roomOf(message.subject, message.seq), record: decodeRecord(message.seq, message.data) };
  }
}

const openings = new WeakMap<NatsConnection, Set<Promise<void>>>();

function track(nc: NatsConnection, opening: Promise<void>): void {
  const under = openings.get(nc) ?? new Set();
  openings.set(nc, under.add(opening));
  const done = () => under.delete(opening);
  opening.then(done, done);
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
