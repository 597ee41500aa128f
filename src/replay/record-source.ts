/** Where a replay reads from: the logs of a broker, or a file. Both hand out records in log order. */
import type { Bus } from "../bus/client/connection.ts";
import { partitionCount } from "../bus/client/streams.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { logEnd, type Scan, scanLog, type Take } from "../bus/log/log-scan.ts";
import type { RoomId } from "../matrix/ids.ts";
import { fileBytes, readLogFile } from "./log-file.ts";

export interface Source {
  /** How much there is, in the unit of `onProgress`. */
  readonly total: number;
  /** Resolves when everything is taken; `signal` ends it sooner. */
  read(take: Take, options?: ReadOptions): Promise<void>;
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

  const scans: Scan[] = [];
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
    async read(take, { signal, onProgress } = {}) {
      let done = 0;
      const counted: Take = (scanned) => {
        onProgress?.(++done);
        return take(scanned);
      };
      const read = (scan: Scan) => scanLog(nc, signal === undefined ? scan : { ...scan, signal }, counted);
      if (follow) await Promise.all(scans.map(read));
      else for (const scan of scans) await read(scan);
    },
  };
}

export async function fileSource(path: string, room?: RoomId): Promise<Source> {
  return {
    total: await fileBytes(path),
    async read(take, { signal, onProgress } = {}) {
      await readLogFile(path, {
        onRecord: (line) => {
          if (signal?.aborted || (room !== undefined && line.room !== room)) return;
          return take(line);
        },
        ...(onProgress !== undefined && { onBytes: onProgress }),
      });
    },
  };
}
