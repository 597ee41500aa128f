/**
 * Reads a partition, or one room, between two sequences or on and on: for replay, export, verify and the inspector.
 *
 * A scan from the beginning has the log's first message first, also when it is of one room: it says how the log begins.
 */
import type { PlacedRecord } from "../../../actors/entry.ts";
import type { RoomId } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import { type StreamScan, scanStream } from "../client/stream-scan.ts";
import { logStream, logSubject } from "../contract/subjects.ts";
import { holeIn, recordAt, recordIn } from "./log.ts";

/** Called for each record, in log order. The scan pauses until a returned promise settles. */
export type OnRecord = (record: PlacedRecord) => void | Promise<void>;

export interface LogScan extends Pick<StreamScan, "from" | "until" | "signal"> {
  readonly partition: number;
  /** Only this room's records. */
  readonly room?: RoomId;
}

/**
 * Resolves after the last record is handled.
 * Throws `RECORD_UNREADABLE`, `LOG_BROKEN` for a hole in a partition, `BUS_UNAVAILABLE`, and whatever `onRecord` throws.
 */
export async function scanLog(nc: Bus, scan: LogScan, onRecord: OnRecord): Promise<void> {
  const { partition, room, from = 1, until, signal } = scan;
  if (room !== undefined && from === 1) {
    const first = await recordAt(nc, partition, from);
    // A record of the room comes with the scan.
    if (first !== undefined && first.room !== room) {
      await onRecord({ ...first, room: undefined, record: { ...first.record, entries: [] } });
    }
  }
  const stream: StreamScan = {
    stream: logStream(partition),
    from,
    ...(until !== undefined && { until }),
    ...(signal !== undefined && { signal }),
    ...(room === undefined
      ? {
          onHole: (hole) => {
            throw holeIn(partition, hole);
          },
        }
      : { subject: logSubject(partition, room) }),
  };
  return scanStream(nc, stream, (message) => onRecord(recordIn(partition, message)));
}
