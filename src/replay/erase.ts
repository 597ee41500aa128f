/**
 * Erases a user from the rooms of a broker (F14): reads the logs for what they have of the user, and appends an erasure to each room that has something.
 *
 *     logs ──▶ rooms with the user's membership, receipts or events ──▶ an erasure for each
 *
 * What comes while it reads is not seen. Doing it again erases that, and nothing twice.
 */
import { type Entry, ERASURE, type ErasureEntry, hasEvent, RECEIPT } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { append } from "../bus/client/jetstream.ts";
import { encodeRecord, RECORD_VERSION } from "../bus/contract/record.ts";
import { logSubject, partitionOf } from "../bus/contract/subjects.ts";
import { RecordVersions } from "../bus/leases/record-versions.ts";
import { partitionCount } from "../bus/partition-count.ts";
import { TidemarkError } from "../errors.ts";
import { ERASED_EVENTS_MAX } from "../limits.ts";
import type { EventId, RoomId, UserId } from "../matrix/ids.ts";
import { busSource } from "./record-source.ts";

export interface EraseOptions {
  readonly user: UserId;
  /** Whether the content of the user's events goes, too. */
  readonly events: boolean;
  /** Default: all rooms. */
  readonly room?: RoomId | undefined;
  /** Receipts that were sent until then are never taken again: Unix time in ms. */
  readonly before: number;
  /** Called with numbers of records. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What the log of a room has of a user. */
export interface TracesInRoom {
  readonly room: RoomId;
  /** Receipts, one log entry each. */
  receipts: number;
  /** That the user has sent, or that say the user's membership. */
  readonly events: Set<EventId>;
}

/** Returns what was erased, by room, once the logs have it. Throws `M_UNKNOWN` while a live worker can't read it, and what reading a log throws. */
export async function eraseUser(nc: Bus, options: EraseOptions): Promise<readonly TracesInRoom[]> {
  const read = await new RecordVersions(nc).readByAll();
  if (read < RECORD_VERSION) {
    throw new TidemarkError(
      "M_UNKNOWN",
      `a live worker reads records up to version ${read}: upgrade all workers first`,
    );
  }
  const found = await tracesOf(nc, options);
  const partitions = await partitionCount(nc);
  for (const traces of found) {
    const subject = logSubject(partitionOf(traces.room, partitions), traces.room);
    for (const entry of erasuresOf(traces, options)) await append(nc, subject, encodeRecord(options.before, [entry]));
  }
  return found;
}

async function tracesOf(nc: Bus, { user, room, onProgress }: EraseOptions): Promise<readonly TracesInRoom[]> {
  const rooms = new Map<RoomId, TracesInRoom>();
  const source = await busSource(nc, room === undefined ? {} : { room });
  await source.read(
    ({ room, record }) => {
      if (room === undefined) return;
      for (const entry of record.entries) {
        if (entry === null || !isAbout(entry, user)) continue;
        let traces = rooms.get(room);
        if (traces === undefined) {
          traces = { room, receipts: 0, events: new Set() };
          rooms.set(room, traces);
        }
        if (hasEvent(entry)) traces.events.add(entry[1].event_id);
        else traces.receipts++;
      }
    },
    { onProgress: (done) => onProgress?.(done, source.total) },
  );
  return [...rooms.values()];
}

/** Whether the entry is a receipt of the user, an event that the user has sent, or the user's membership. */
function isAbout(entry: Entry, user: UserId): boolean {
  if (!hasEvent(entry)) return entry[0] === RECEIPT && entry[1] === user;
  const { sender, type, state_key: key } = entry[1];
  return sender === user || (type === "m.room.member" && key === user);
}

/** One, or more for a user with very many events. */
function* erasuresOf(
  { events }: TracesInRoom,
  { user, before, events: withEvents }: EraseOptions,
): Generator<ErasureEntry> {
  const ids = withEvents ? [...events] : [];
  for (let from = 0; from === 0 || from < ids.length; from += ERASED_EVENTS_MAX) {
    yield [ERASURE, user, before, ids.slice(from, from + ERASED_EVENTS_MAX)];
  }
}
