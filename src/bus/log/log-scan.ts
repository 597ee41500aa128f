/**
 * Reads a part of a log, at the pace of whoever takes it: for replay, export and the inspector.
 *
 * A worker's `LogReader` reads a whole partition as fast as it comes. This reads one room, or one partition, between two
 * sequences or on and on, and asks the broker for more only when what came is taken: memory stays bounded however long
 * the log is. The consumer is an ephemeral one that acknowledges nothing; when it is lost (a broker restart) or skips a
 * message, another goes on where this one stopped.
 */
import { AckPolicy, DeliverPolicy, type NatsConnection, NatsError, nanos } from "nats";
import type { LogRecord } from "../../../actors/entry.ts";
import { TidemarkError } from "../../errors.ts";
import { SCAN_IDLE_MS, SCAN_RECORDS_MAX, SCAN_RETRIES_MAX, SCAN_RETRY_MS, SCAN_STEADY_MS } from "../../limits.ts";
import { type RoomId, roomId } from "../../matrix/ids.ts";
import { isNotFound, translate } from "../client/connection.ts";
import { type Delivered, delivered } from "../client/delivered.ts";
import { decode } from "../contract/codec.ts";
import { decodeRecord } from "../contract/record.ts";
import { decodeToken, deltaStream, lastToken, logStream, logSubject, type Subject } from "../contract/subjects.ts";

/** A record, and where it is from. */
export interface ScannedRecord {
  readonly partition: number;
  readonly room: RoomId;
  readonly record: LogRecord;
}

/** A promise stops the reading until it is settled. */
export type Take = (scanned: ScannedRecord) => void | Promise<void>;

export interface Scan {
  readonly partition: number;
  /** Only this room's records. */
  readonly room?: RoomId;
  /** The first sequence; 1 without it. */
  readonly from?: number;
  /** The last sequence. Without it the scan goes on until `signal` ends it. */
  readonly until?: number;
  readonly signal?: AbortSignal;
}

/** The newest record of a partition, or of a room in it. */
export interface LogEnd {
  /** 0 when there is none. */
  readonly sequence: number;
  readonly records: number;
}

/** Where the log, or a room in it, ends now. */
export async function logEnd(nc: NatsConnection, partition: number, room?: RoomId): Promise<LogEnd> {
  const stream = logStream(partition);
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    if (room === undefined) {
      const { state } = await jsm.streams.info(stream);
      return { sequence: state.last_seq, records: state.messages };
    }
    const subject = logSubject(partition, room);
    const { state } = await jsm.streams.info(stream, { subjects_filter: subject });
    const records = state.subjects?.[subject] ?? 0;
    if (records === 0) return { sequence: 0, records: 0 };
    const { seq } = await jsm.streams.getMessage(stream, { last_by_subj: subject });
    return { sequence: seq, records };
  } catch (error) {
    if (isNotFound(error)) return { sequence: 0, records: 0 };
    throw translate(error, `read the log of partition ${partition}`);
  }
}

/** The rooms of a partition, and how many records each has. */
export async function roomsOf(nc: NatsConnection, partition: number): Promise<Map<RoomId, number>> {
  const rooms = new Map<RoomId, number>();
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    const { state } = await jsm.streams.info(logStream(partition), { subjects_filter: ">" });
    for (const [subject, records] of Object.entries(state.subjects ?? {})) rooms.set(roomIn(subject), records);
  } catch (error) {
    if (!isNotFound(error)) throw translate(error, `list the rooms of partition ${partition}`);
  }
  return rooms;
}

/** The record with which a partition's log ends. */
export async function newestRecord(nc: NatsConnection, partition: number, sequence: number): Promise<ScannedRecord> {
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    const { subject, data } = await jsm.streams.getMessage(logStream(partition), { seq: sequence });
    return { partition, room: roomIn(subject), record: decodeRecord(sequence, data) };
  } catch (error) {
    throw translate(error, `read record ${sequence} of partition ${partition}`);
  }
}

/**
 * Hands out records in log order; resolves when the last one is taken.
 * Throws `RECORD_UNREADABLE`, `LOG_BROKEN` for a hole in a partition, `BUS_UNAVAILABLE`.
 */
export function scanLog(nc: NatsConnection, scan: Scan, take: Take): Promise<void> {
  const { partition, room } = scan;
  let next = scan.from ?? 1;
  return scanStream(
    nc,
    {
      ...scan,
      stream: logStream(partition),
      ...(room !== undefined && { subject: logSubject(partition, room) }),
    },
    ({ sequence, subject, data }) => {
      if (room === undefined && sequence !== next) {
        throw new TidemarkError(
          "LOG_BROKEN",
          `the log of partition ${partition} has no record ${next}, and goes on at ${sequence}: restore it from a backup`,
        );
      }
      next = sequence + 1;
      return take({ partition, room: roomIn(subject), record: decodeRecord(sequence, data) });
    },
  );
}

/** One delta of a partition, as it was published. */
export interface ScannedDelta {
  readonly sequence: number;
  readonly subject: string;
  readonly body: unknown;
}

/** Hands out what the partition's delta stream still keeps, from a sequence on. Resolves to the newest sequence. */
export async function scanDeltas(
  nc: NatsConnection,
  { partition, from }: { readonly partition: number; readonly from: number },
  take: (delta: ScannedDelta) => void,
): Promise<number> {
  const stream = deltaStream(partition);
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  const { state } = await jsm.streams.info(stream);
  if (state.messages === 0 || state.last_seq < from) return state.last_seq;
  await scanStream(nc, { stream, from, until: state.last_seq }, ({ sequence, subject, data }) =>
    take({ sequence, subject, body: decode(data) }),
  );
  return state.last_seq;
}

interface StreamScan extends Pick<Scan, "from" | "until" | "signal"> {
  readonly stream: string;
  readonly subject?: Subject;
}

async function scanStream(
  nc: NatsConnection,
  scan: StreamScan,
  take: (message: Delivered) => void | Promise<void>,
): Promise<void> {
  const { stream, until = Number.POSITIVE_INFINITY, signal } = scan;
  let next = scan.from ?? 1;
  for (let fruitless = 0; next <= until && !signal?.aborted; ) {
    const before = next;
    const startedAt = performance.now();
    let reason: unknown;
    try {
      next = await scanOnce(nc, { ...scan, from: next }, take);
    } catch (error) {
      if (!(error instanceof TidemarkError && error.shouldRetry())) throw error;
      reason = error;
    }
    fruitless = next > before || performance.now() - startedAt > SCAN_STEADY_MS ? 0 : fruitless + 1;
    if (fruitless > SCAN_RETRIES_MAX) {
      throw new TidemarkError(
        "BUS_UNAVAILABLE",
        `reading ${stream} stopped at ${next}: the broker gives nothing more`,
        {
          cause: reason,
        },
      );
    }
    // The broker may be restarting.
    if (fruitless > 0) await new Promise((resolve) => setTimeout(resolve, SCAN_RETRY_MS * fruitless));
  }
}

/** One consumer's worth. Resolves to the sequence to go on from. */
async function scanOnce(
  nc: NatsConnection,
  scan: StreamScan & { readonly from: number },
  take: (message: Delivered) => void | Promise<void>,
): Promise<number> {
  const { stream, until = Number.POSITIVE_INFINITY, signal } = scan;
  const { jsm, name, messages, waiting } = await consume(nc, scan).catch((error) => {
    throw translate(error, `read ${stream}`);
  });
  const stop = () => messages.stop();
  signal?.addEventListener("abort", stop, { once: true });
  let next = scan.from;
  let count = 0;
  const ends = Number.isFinite(until);
  try {
    // The last one may be gone from a stream that forgets: then the end is where nothing waits any more.
    if (ends && waiting === 0) return until + 1;
    for await (const raw of messages) {
      const message = delivered(raw);
      // One that was lost on the way: the next consumer brings it.
      if (signal?.aborted || message.deliverySequence !== ++count) break;
      if (message.sequence > until) return message.sequence;
      const taken = take(message);
      if (taken !== undefined) await taken;
      next = message.sequence + 1;
      if (ends && message.pending === 0) next = until + 1;
      if (next > until) break;
    }
  } catch (error) {
    if (!(error instanceof NatsError)) throw error; // What the taker threw. A lost consumer is made again.
  } finally {
    signal?.removeEventListener("abort", stop);
    messages.stop();
    await jsm.consumers.delete(stream, name).catch(() => {}); // It would end by itself.
  }
  return next;
}

async function consume(nc: NatsConnection, { stream, subject, from }: StreamScan & { readonly from: number }) {
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  const { name, num_pending: waiting } = await jsm.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(SCAN_IDLE_MS),
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    ...(subject !== undefined && { filter_subject: subject }),
  });
  const consumer = await nc.jetstream().consumers.get(stream, name);
  const messages = await consumer.consume({ max_messages: SCAN_RECORDS_MAX, abort_on_missing_resource: true });
  return { jsm, name, messages, waiting };
}

function roomIn(subject: string): RoomId {
  const room = roomId.safeParse(decodeToken(lastToken(subject)));
  if (!room.success) throw new TidemarkError("RECORD_UNREADABLE", `the log has a record of no room: ${subject}`);
  return room.data;
}
