/**
 * Copies the records of a file into the logs of a broker. Every record keeps its position.
 *
 * A position depends on the sequence in the partition's log, which counts from 1 without holes. So a file can only be
 * imported if it has all records of its partitions from the first one on, and if the logs are empty or have a prefix of
 * the same records (after an interrupted import, which is then continued). Each append names the sequence that it
 * expects, so nothing else can be appended in between.
 */
import type { PlacedRecord } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { encodeRecord } from "../bus/contract/record.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { removeMark } from "../bus/deltas/published-mark.ts";
import { appendAt, logEnd } from "../bus/log/log.ts";
import { scanLog } from "../bus/log/log-scan.ts";
import { prepareBus } from "../bus/streams.ts";
import { TidemarkError } from "../errors.ts";
import { fileBytes, readLogFile } from "./log-file.ts";
import type { LogHeader } from "./log-lines.ts";

/** Records that an import appends, or compares, at the same time. */
const IMPORT_RECORDS_MAX = 256;

/** The headers of an append. The broker counts them as a part of the message. */
const HEADER_BYTES_MAX = 256;

export interface ImportOptions {
  readonly path: string;
  /** Called with the bytes that have been read, and the size of the file. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Imported {
  readonly header: LogHeader;
  /** The number of appended records, without those that were in the log before. */
  readonly records: number;
  readonly entries: number;
}

export async function importLog(nc: Bus, { path, onProgress }: ImportOptions): Promise<Imported> {
  const total = await fileBytes(path);
  // Reads the whole file first, so that nothing is appended if it is damaged, or if positions can't be kept.
  const { header, last } = await survey(path, (nc.info?.max_payload ?? Number.POSITIVE_INFINITY) - HEADER_BYTES_MAX);
  await prepareBus(nc, { partitions: header.partitions, isImport: true });
  const present = await presentRecords(nc, path, last);
  for (const partition of last.keys()) await removeMark(nc, partition);

  let records = 0;
  let entries = 0;
  let pending: Promise<void>[] = [];
  const settle = async () => {
    const appended = pending;
    pending = [];
    await Promise.all(appended);
  };
  await readLogFile(path, {
    onBytes: (bytes) => onProgress?.(bytes, total),
    onRecord: async ({ partition, room, record }) => {
      if (record.sequence <= (present.get(partition) ?? 0)) return;
      records++;
      entries += record.entries.length;
      pending.push(appendAt(nc, { partition, room, record }));
      if (pending.length >= IMPORT_RECORDS_MAX) await settle();
    },
  });
  await settle();
  return { header, records, entries };
}

/** Checks the whole file. Returns its header, and the last sequence of each partition. */
async function survey(path: string, recordBytesMax: number): Promise<{ header: LogHeader; last: Map<number, number> }> {
  const last = new Map<number, number>();
  let header: LogHeader | undefined;
  await readLogFile(path, {
    onHeader: (read) => {
      header = read;
    },
    onRecord: ({ partition, room, record: { sequence, at, entries } }, line) => {
      const own = partitionOf(room, header!.partitions);
      if (own !== partition) {
        throw refusal(`${path}, line ${line}: the room is of partition ${own}, and its record of ${partition}`);
      }
      const bytes = encodeRecord(at, entries).length;
      if (bytes > recordBytesMax) {
        throw refusal(`${path}, line ${line}: the record has ${bytes} bytes, the broker takes ${recordBytesMax}`);
      }
      const before = last.get(partition) ?? 0;
      if (sequence !== before + 1) {
        throw refusal(
          `partition ${partition} lacks records ${before + 1} to ${sequence - 1}, so positions can't be kept. ` +
            "Export the whole partition (--partition or --all), or read this file with replay --file.",
        );
      }
      last.set(partition, sequence);
    },
  });
  return { header: header!, last };
}

/** Returns how many records of each partition are in the log already. Throws if they differ from those of the file. */
async function presentRecords(nc: Bus, path: string, last: ReadonlyMap<number, number>): Promise<Map<number, number>> {
  const present = new Map<number, number>();
  for (const [partition, through] of last) {
    const { sequence } = await logEnd(nc, partition);
    if (sequence > through) {
      throw refusal(
        `the log of partition ${partition} has ${sequence} records, the file ${through}: it is another log, or a newer one`,
      );
    }
    present.set(partition, sequence);
  }
  if ([...present.values()].every((sequence) => sequence === 0)) return present;

  const compare = async (wanted: readonly PlacedRecord[]) => {
    const { partition, record } = wanted[0]!;
    let index = 0;
    await scanLog(nc, { partition, from: record.sequence, until: wanted.at(-1)!.record.sequence }, (found) => {
      if (!sameRecord(wanted[index++]!, found)) {
        throw refusal(`the log of partition ${partition} has another record ${found.record.sequence} than the file`);
      }
    });
  };
  let chunk: PlacedRecord[] = [];
  const flush = async () => {
    const wanted = chunk;
    chunk = [];
    if (wanted.length > 0) await compare(wanted);
  };
  await readLogFile(path, {
    onRecord: async (line) => {
      if (line.record.sequence > present.get(line.partition)!) return;
      if (chunk.length >= IMPORT_RECORDS_MAX || (chunk[0] !== undefined && chunk[0].partition !== line.partition)) {
        await flush();
      }
      chunk.push(line);
    },
  });
  await flush();
  return present;
}

function sameRecord(a: PlacedRecord, b: PlacedRecord): boolean {
  const bytes = ({ record: { at, entries } }: PlacedRecord) => encodeRecord(at, entries);
  return a.room === b.room && a.record.sequence === b.record.sequence && Buffer.compare(bytes(a), bytes(b)) === 0;
}

function refusal(reason: string): TidemarkError {
  return new TidemarkError("BUS_MISMATCH", `nothing was imported: ${reason}`);
}
