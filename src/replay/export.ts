/** Copies logs from a broker into a file. */
import type { Bus } from "../bus/client/connection.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { partitionCount } from "../bus/partition-count.ts";
import type { RoomId } from "../matrix/ids.ts";
import { LogFileWriter } from "./log-file.ts";
import { LogLineWriter, type Scope } from "./log-lines.ts";
import { busSource, type OnUnreadable } from "./record-source.ts";

export interface ExportOptions {
  readonly room?: RoomId;
  readonly partition?: number;
  /** The last sequence to copy. Default: the current end of the log. */
  readonly until?: number;
  /** See `BusSelection`. */
  readonly onUnreadable?: OnUnreadable | undefined;
  readonly out: string;
  /** Leaves out message content. */
  readonly redact: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Exported {
  readonly records: number;
  readonly entries: number;
}

/** Copies the current content of the logs. The file gets its name when it is complete. */
export async function exportLog(nc: Bus, options: ExportOptions): Promise<Exported> {
  const { room, partition, until, onUnreadable, out, redact, onProgress } = options;
  const partitions = await partitionCount(nc);
  const scope: Scope = room !== undefined ? { room } : partition !== undefined ? { partition } : { all: true };
  const source = await busSource(nc, {
    ...(room !== undefined && { room, partition: partitionOf(room, partitions) }),
    ...(partition !== undefined && { partition }),
    ...(until !== undefined && { until }),
    onUnreadable,
  });
  if (room !== undefined && source.total === 0) throw new Error(`the log has no room ${room}`);

  const lines = new LogLineWriter(redact);
  const file = new LogFileWriter(out);
  let records = 0;
  let entries = 0;
  try {
    await file.write(lines.header({ partitions, scope, redacted: redact }));
    await source.read(
      (scanned) => {
        if (scanned.room !== undefined) records++;
        entries += scanned.record.entries.length;
        return file.write(lines.record(scanned));
      },
      { onProgress: (done) => onProgress?.(done, source.total) },
    );
    await file.write(lines.end());
    await file.close();
  } catch (error) {
    await file.discard();
    throw error;
  }
  return { records, entries };
}
