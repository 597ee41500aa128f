/** The sources of a replay: the logs of a broker, or a file. */
import type { Bus } from "../bus/client/connection.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { logEnd } from "../bus/log/log.ts";
import { type LogScan, type OnRecord, scanLog } from "../bus/log/log-scan.ts";
import { partitionCount } from "../bus/partition-count.ts";
import { type ErrorCode, TidemarkError } from "../errors.ts";
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
  /** Called for each partition whose rest can't be read, and is left out. Default: the reading fails there. */
  readonly onUnreadable?: OnUnreadable | undefined;
}

/** What can't be read of a partition. */
interface Unreadable {
  readonly partition: number;
  /** The sequence of the last record that was read; 0 when none was. */
  readonly after: number;
  readonly reason: string;
}

export type OnUnreadable = (unreadable: Unreadable) => void;

/** What is wrong with a log, and not with whoever reads it. */
const OF_LOGS: ReadonlySet<ErrorCode> = new Set(["RECORD_UNREADABLE", "LOG_BROKEN", "BUS_UNAVAILABLE", "M_UNKNOWN"]);

/** Does something with one partition. If its log fails, `onUnreadable` is called; without one this throws, and says how to go on. */
export async function onePartition<T>(
  partition: number,
  onUnreadable: OnUnreadable | undefined,
  read: (reached: (sequence: number) => void) => Promise<T>,
): Promise<T | undefined> {
  let after = 0;
  try {
    return await read((sequence) => {
      after = sequence;
    });
  } catch (error) {
    if (!(error instanceof TidemarkError) || !OF_LOGS.has(error.code)) throw error;
    if (onUnreadable !== undefined) {
      onUnreadable({ partition, after, reason: error.message });
      return undefined;
    }
    const hint = "--skip-unreadable goes on without the rest of that partition";
    throw new TidemarkError(error.code, `partition ${partition}: ${error.message} (${hint})`, { cause: error });
  }
}

export async function busSource(nc: Bus, selection: BusSelection): Promise<Source> {
  const partitions = await partitionCount(nc);
  const { room, follow = false, until = Number.POSITIVE_INFINITY, onUnreadable } = selection;
  const partition = room === undefined ? selection.partition : partitionOf(room, partitions);
  const chosen = partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [partition];

  const scans: LogScan[] = [];
  let total = 0;
  for (const partition of chosen) {
    const end = await onePartition(partition, onUnreadable, () => logEnd(nc, partition, room));
    if (end === undefined) continue;
    const { sequence, records } = end;
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
      const read = (scan: LogScan) =>
        onePartition(scan.partition, onUnreadable, (reached) =>
          scanLog(nc, signal === undefined ? scan : { ...scan, signal }, (record) => {
            onProgress?.(++done);
            reached(record.record.sequence);
            return onRecord(record);
          }),
        );
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
