/** Appends a record at a sequence that is known beforehand, for an import. */
import type { NatsConnection } from "nats";
import type { LogRecord } from "../../actors/entry.ts";
import type { RoomId } from "../matrix/ids.ts";
import { translate } from "./connection.ts";
import { encodeRecord } from "./record.ts";
import { logSubject } from "./subjects.ts";

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
