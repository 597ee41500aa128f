/** Which of a room's events the log has: for whoever brings older ones. */
import type { NatsConnection } from "nats";
import { BACKFILLED, LIVE, type LogRecord, type Order, positionOf } from "../../../actors/entry.ts";
import type { EventId, RoomId } from "../../matrix/ids.ts";
import { isNotFound, translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { decodeRecord } from "../contract/record.ts";
import { logStream, logSubject } from "../contract/subjects.ts";

/** The event with the smallest order, from which history goes further back; undefined when the room has none. */
export async function oldestKnownEvent(
  nc: NatsConnection,
  partition: number,
  room: RoomId,
): Promise<EventId | undefined> {
  const oldest = new OldestEvent();
  try {
    await readRoom(nc, { partition, room }, (record) => oldest.add(record));
  } catch (error) {
    throw translate(error, `read the log of ${room}`);
  }
  return oldest.id;
}

/** F1, F2: the smallest order, where only the first time that an event came counts. */
class OldestEvent {
  id: EventId | undefined;
  #order: Order = Number.POSITIVE_INFINITY;
  readonly #known = new Set<EventId>();

  add({ sequence, entries }: LogRecord): void {
    entries.forEach((entry, index) => {
      if (entry[0] !== LIVE && entry[0] !== BACKFILLED) return;
      const { event_id: id } = entry[1];
      if (this.#known.has(id)) return;
      this.#known.add(id);
      const position = positionOf(sequence, index);
      const order = entry[0] === LIVE ? position : -position;
      if (order > this.#order) return;
      this.#order = order;
      this.id = id;
    });
  }
}

/** Takes the records that the log has of a room now, in log order. */
async function readRoom(
  nc: NatsConnection,
  { partition, room }: { readonly partition: number; readonly room: RoomId },
  take: (record: LogRecord) => void,
): Promise<void> {
  const stream = logStream(partition);
  const subject = logSubject(partition, room);
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  const last = await jsm.streams.getMessage(stream, { last_by_subj: subject }).catch((error) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (last === undefined) return;
  let reader: StreamReader | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const onMessage = ({ sequence, data }: Delivered) => {
        try {
          if (sequence <= last.seq) take(decodeRecord(sequence, data));
          if (sequence >= last.seq) resolve();
        } catch (error) {
          reject(error);
        }
      };
      reader = new StreamReader(nc, { stream, subject, from: 1, onMessage });
      reader.opened.catch(reject);
    });
  } finally {
    reader?.close();
  }
}
