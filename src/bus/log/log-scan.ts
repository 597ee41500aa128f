/** Reads a partition, or one room, between two sequences or on and on: for replay, export, verify and the inspector. */
import type { PlacedRecord } from "../../../actors/entry.ts";
import type { RoomId } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import { type StreamScan, scanStream } from "../client/stream-scan.ts";
import { logStream, logSubject } from "../contract/subjects.ts";
import { assertNoHole, recordIn } from "./log.ts";

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
export function scanLog(nc: Bus, scan: LogScan, onRecord: OnRecord): Promise<void> {
  const { partition, room, from = 1, until, signal } = scan;
  let next = from;
  const stream: StreamScan = {
    stream: logStream(partition),
    from,
    ...(room !== undefined && { subject: logSubject(partition, room) }),
    ...(until !== undefined && { until }),
    ...(signal !== undefined && { signal }),
  };
  return scanStream(nc, stream, (message) => {
    if (room === undefined) assertNoHole(partition, next, message.sequence);
    next = message.sequence + 1;
    return onRecord(recordIn(partition, message));
  });
}
