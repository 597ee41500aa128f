/** Where a replay reads from: the logs of a broker, or a file. Both hand out records in log order. */
import type { Bus } from "../bus/client/connection.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { logEnd } from "../bus/log/log.ts";
import { type LogScan, type OnRecord, scanLog } from "../bus/log/log-scan.ts";
import { partitionCount } from "../bus/partition-count.ts";
import type { RoomId } from "../matrix/ids.ts";
import { fileBytes, readLogFile } from "./log-file.ts";

export interface Source {
  /** How much there is, in the unit of `onProgress`. */
  readonly total: number;
  /** Resolves when every record is handled; `signal` ends it sooner. */
  read(onRecord: OnRecord, options?: ReadOptions): Promise<void>;
}

interface ReadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

export interface BusSelection {
  /** All rooms of all partitions without it. */
  readonly room?: RoomId;
  /** One partition, when there is no room. */
  readonly partition?: number;
  /** The last sequence that is of interest. */
  readonly until?: number;
  /** Goes on with what is appended. One partition only. */
  readonly follow?: boolean;
}

/** What the logs hold now, and, when it follows, what comes. */
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
          if (signal?.aborted || (room !== undefined && record.room !== room)) return;
          return onRecord(record);
        },
        ...(onProgress !== undefined && { onBytes: onProgress }),
      });
    },
  };
}
