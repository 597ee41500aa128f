/** The sources of a replay: the logs of a broker, or a file. */
import type { Bus } from "../bus/client/connection.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { logEnd } from "../bus/log/log.ts";
import { type LogScan, type OnRecord, scanLog } from "../bus/log/log-scan.ts";
import { partitionCount } from "../bus/partition-count.ts";
import type { RoomId } from "../matrix/ids.ts";
import { fileBytes, readLogFile } from "./log-file.ts";

export interface Source {
  /** The size of the source, in the unit of `onProgress`. */
  readonly total: number;
  /** Reads records in log order. Resolves when all of them are handled, or `signal` is aborted. */
  read(onRecord: OnRecord, options?: ReadOptions): Promise<void>;
}

interface ReadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

export interface BusSelection {
  /** Default: all rooms. */
  readonly room?: RoomId;
  /** Default: all partitions. Ignored if there is a room. */
  readonly partition?: number;
  /** The last sequence to read. Default: the current end of the log. */
  readonly until?: number;
  /** Continues with new records. Default: false. */
  readonly follow?: boolean;
}

export async function busSource(nc: Bus, selection: BusSelection): Promise<Source> {
  const partitions = await partitionCount(nc);
  const { room, follow = false, until = Number.POSITIVE_INFINITY } = selection;
  const partition = room === undefined ? selection.partition : partitionOf(room, partitions);
  const chosen = partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [partition];

  const scans: LogScan[] = [];
  let total = 0;
  for (const partition of chosen) {
    const { sequence, records } = await logEnd(nc, partition, room);
    total += records;
    if (records === 0 && !follow) continue;
    scans.push({
      partition,
      ...(room !== undefined && { room }),
      ...(!follow && { until: Math.min(sequence, until) }),
    });
  }
  return {
    total,
    async read(onRecord, { signal, onProgress } = {}) {
      let done = 0;
      const counted: OnRecord = (record) => {
        onProgress?.(++done);
        return onRecord(record);
      };
      const read = (scan: LogScan) => scanLog(nc, signal === undefined ? scan : { ...scan, signal }, counted);
      if (follow) await Promise.all(scans.map(read));
      else for (const scan of scans) await read(scan);
    },
  };
}

export async function fileSource(path: string, room?: RoomId): Promise<Source> {
  return {
    total: await fileBytes(path),
    async read(onRecord, { signal, onProgress } = {}) {
      await readLogFile(path, {
        onRecord: (record) => {
          const isWanted = room === undefined || record.room === undefined || record.room === room;
          if (!signal?.aborted && isWanted) return onRecord(record);
        },
        ...(onProgress !== undefined && { onBytes: onProgress }),
      });
    },
  };
}
