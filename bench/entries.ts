/** Entries as they are decoded from the log, and logs full of entries, made without ingress. */
import type { NatsConnection } from "nats";
import { type Entry, LIVE, RECEIPT } from "../actors/entry.ts";
import { AckedPublisher } from "../src/bus/client/acked-publisher.ts";
import { encodeRecord } from "../src/bus/contract/record.ts";
import { logSubject, partitionOf } from "../src/bus/contract/subjects.ts";
import { prepareBus } from "../src/bus/streams.ts";
import type { MatrixEvent } from "../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../src/matrix/ids.ts";
import { READ } from "../src/matrix/receipt-types.ts";
import { eventId, eventOf, SERVER, userId } from "./numbered.ts";

/**
 * Older than the retention of the delta streams: a fold of such entries publishes nothing, as if their deltas were
 * published.
 */
export const LONG_AGO = Date.now() - 48 * 3_600_000;
const UNACKNOWLEDGED_MAX = 4_096;

export const roomOf = (n: number) => `!room${n}:${SERVER}` as RoomId;
export const userOf = (n: number) => userId(n) as UserId;

export const liveEvent = (n: number): Entry => [LIVE, eventOf(n) as unknown as MatrixEvent];

export function receipt(user: number, event: number): Entry {
  return [RECEIPT, userOf(user), READ, eventId(event) as EventId, null, LONG_AGO, null];
}

/**
 * Each room has `records` records, each with this many events and receipts. The receipts are of different users, on the
 * last event.
 */
export interface LogShape {
  readonly rooms: number;
  readonly records: number;
  readonly events: number;
  readonly receipts: number;
}

export function entriesOf({ rooms, records, events, receipts }: LogShape): number {
  return rooms * records * (events + receipts);
}

/** Returns the entries of the nth record, which is the same in every room. */
function recordEntries(n: number, { events, receipts }: LogShape): Entry[] {
  const last = (n + 1) * events - 1;
  return [
    ...Array.from({ length: events }, (_, i) => liveEvent(n * events + i)),
    ...Array.from({ length: receipts }, (_, user) => receipt(user, last)),
  ];
}

/**
 * Appends a log of this shape: the first record of every room, then the second, and so on. Resolves when the broker has
 * all of it.
 */
export async function makeLog(nc: NatsConnection, shape: LogShape): Promise<{ readonly partitions: number }> {
  const partitions = await prepareBus(nc, undefined);
  const publisher = new AckedPublisher(nc);
  const subjects = Array.from({ length: shape.rooms }, (_, n) => {
    const room = roomOf(n);
    return logSubject(partitionOf(room, partitions), room);
  });
  let acknowledgements: Promise<number>[] = [];
  for (let n = 0; n < shape.records; n++) {
    const record = encodeRecord(LONG_AGO, recordEntries(n, shape));
    for (const subject of subjects) {
      acknowledgements.push(publisher.publish(subject, record));
      if (acknowledgements.length < UNACKNOWLEDGED_MAX) continue;
      await Promise.all(acknowledgements);
      acknowledgements = [];
    }
  }
  await Promise.all(acknowledgements);
  publisher.close();
  return { partitions };
}
