/**
 * Copies the records of a file into the logs of a broker. Every event keeps its order (F1), whatever the number of partitions.
 *
 * The logs must be empty, or have what an interrupted import has copied, which is then continued. The records of a room go to the
 * log of its partition, in the order of the file, and each event carries its order there. Positions are others than in the
 * log that was exported, so the logs are new ones: with a base of their own, above all orders of the file.
 *
 * Each append names the sequence that it expects, so nothing else can be appended in between.
 */
import { randomUUID } from "node:crypto";
import { type Entry, isRoomRecord, isTimeline, type Order, type RoomRecord } from "../../actors/entry.ts";
import { EventOrders } from "../../actors/room/orders.ts";
import type { Bus } from "../bus/client/connection.ts";
import { encodeRecord } from "../bus/contract/record.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { removeMark } from "../bus/deltas/published-mark.ts";
import { type AppendedAt, appendAt, baseAt, beginLog, logEnd, recordAt } from "../bus/log/log.ts";
import { scanLog } from "../bus/log/log-scan.ts";
import { storedPartitionCount } from "../bus/partition-count.ts";
import { prepareBus } from "../bus/streams.ts";
import { TidemarkError } from "../errors.ts";
import type { RoomId } from "../matrix/ids.ts";
import { fileBytes, readLogFile } from "./log-file.ts";
import type { LogHeader } from "./log-lines.ts";

/** Records that an import appends, or compares, at the same time. */
const IMPORT_RECORDS_MAX = 256;

/** The headers of an append. The broker counts them as a part of the message. */
const HEADER_BYTES_MAX = 256;

/** How far the base of the new logs lies above every order of the file (docs/design.md#words). */
const RAISE = 2 ** 32;

export interface ImportOptions {
  readonly path: string;
  /** The last line of the file that is copied. Default: the file must be whole. */
  readonly untilLine?: number | undefined;
  /** The partition count of a broker that has no logs yet. Default: the file's. */
  readonly partitions?: number | undefined;
  /** Called with the bytes that have been read, and the size of the file. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Imported {
  readonly header: LogHeader;
  /** The number of appended records, without those that were in the log before. */
  readonly records: number;
  readonly entries: number;
}

export async function importLog(nc: Bus, options: ImportOptions): Promise<Imported> {
  const { path, untilLine, onProgress } = options;
  const total = await fileBytes(path);
  const partitions = options.partitions ?? (await storedPartitionCount(nc));
  const bytesMax = (nc.info?.max_payload ?? Number.POSITIVE_INFINITY) - HEADER_BYTES_MAX;
  const plan = { path, untilLine, partitions, bytesMax };
  // Reads the whole file first, so that nothing is appended if it is damaged.
  const { header, last, greatest } = await survey(plan);
  await prepareBus(nc, { partitions: partitions ?? header.partitions, isImport: true });
  const present = await presentRecords(nc, plan, last);
  for (const partition of last.keys()) await removeMark(nc, partition);
  await beginLogs(nc, present, greatest);

  let records = 0;
  let entries = 0;
  const appending = new Batches(async (batch) => {
    await Promise.all(batch.map((append) => appendAt(nc, append)));
  });
  await readAppends(plan, {
    onBytes: (bytes) => onProgress?.(bytes, total),
    onAppend: (append) => {
      if (append.sequence <= (present.get(append.partition) ?? 0)) return;
      records++;
      entries += append.entries;
      return appending.add(append);
    },
  });
  await appending.flush();
  return { header, records, entries };
}

interface Plan {
  readonly path: string;
  readonly untilLine: number | undefined;
  /** Of the broker, now or when its logs are made. undefined: it has none yet, and gets as many as the file's. */
  readonly partitions: number | undefined;
  /** The largest record that the broker takes. */
  readonly bytesMax: number;
}

/** `line`: of the file. */
type Append = AppendedAt & { readonly entries: number; readonly line: number };

interface AppendsRead {
  readonly onHeader?: (header: LogHeader) => void;
  readonly onOrder?: (order: Order) => void;
  readonly onBytes?: (bytes: number) => void;
  readonly onAppend: (append: Append) => void | Promise<void>;
}

/** Reads the file as the appends that copy it: the same at every reading. */
async function readAppends(
  { path, untilLine, partitions, bytesMax }: Plan,
  { onHeader, onOrder, onBytes, onAppend }: AppendsRead,
): Promise<void> {
  const bases = new Map<number, Order>();
  const rooms = new Map<RoomId, EventOrders>();
  const ends = new Map<number, number>();
  let count = partitions;
  let exported: number | undefined;
  const ordersOf = ({ room, partition }: RoomRecord): EventOrders => {
    let orders = rooms.get(room);
    if (orders === undefined) {
      orders = new EventOrders(bases.get(partition)!);
      rooms.set(room, orders);
    }
    return orders;
  };
  await readLogFile(path, {
    onHeader: (header) => {
      exported = header.partitions;
      count ??= header.partitions;
      onHeader?.(header);
    },
    onRecord: async (placed, line) => {
      if (placed.start !== undefined) {
        bases.set(placed.partition, placed.start.base);
        onOrder?.(placed.start.base);
      }
      if (!isRoomRecord(placed)) return;
      const { room, record } = placed;
      const own = partitionOf(room, exported!);
      if (own !== placed.partition) {
        throw refusal(`${path}, line ${line}: the room is of partition ${own}, and its record of ${placed.partition}`);
      }
      const orders = ordersOf(placed);
      const entries = record.entries.flatMap((entry) => (entry === null ? [] : [withOrder(entry, orders)]));
      onOrder?.(orders.orders.greatest);
      const partition = partitionOf(room, count!);
      for (const part of fitting(record.at, entries, bytesMax)) {
        const sequence = (ends.get(partition) ?? BEGINNING) + 1;
        ends.set(partition, sequence);
        await onAppend({ partition, room, sequence, line, ...part });
      }
    },
    ...(onBytes !== undefined && { onBytes }),
    untilLine,
  });
}

/** The sequence of the record with the base. */
const BEGINNING = 1;

function withOrder(entry: Entry, orders: EventOrders): Entry {
  if (!isTimeline(entry)) return entry;
  const order = orders.next(entry);
  return order === undefined ? entry : [entry[0], entry[1], order];
}

/** The entries as records that the broker takes. Orders make them larger than they were. */
function* fitting(
  at: number,
  entries: readonly Entry[],
  bytesMax: number,
): Generator<Pick<Append, "bytes" | "entries">> {
  if (entries.length === 0) return;
  const bytes = encodeRecord(at, entries);
  if (bytes.length <= bytesMax || entries.length === 1) {
    yield { bytes, entries: entries.length };
    return;
  }
  const half = entries.length >> 1;
  yield* fitting(at, entries.slice(0, half), bytesMax);
  yield* fitting(at, entries.slice(half), bytesMax);
}

interface Surveyed {
  readonly header: LogHeader;
  /** By partition of the broker: the sequence with which its log will end. */
  readonly last: ReadonlyMap<number, number>;
  /** The greatest order or base of the file. */
  readonly greatest: Order;
}

async function survey(plan: Plan): Promise<Surveyed> {
  const last = new Map<number, number>();
  let header: LogHeader | undefined;
  let greatest = 0;
  await readAppends(plan, {
    onHeader: (read) => {
      header = read;
      for (let partition = 0; partition < (plan.partitions ?? read.partitions); partition++) {
        last.set(partition, BEGINNING);
      }
    },
    onOrder: (order) => {
      greatest = Math.max(greatest, order);
    },
    onAppend: ({ partition, sequence, line, bytes }) => {
      if (bytes.length > plan.bytesMax) {
        const size = `the record has ${bytes.length} bytes, the broker takes ${plan.bytesMax}`;
        throw refusal(`${plan.path}, line ${line}: ${size}`);
      }
      last.set(partition, sequence);
    },
  });
  return { header: header!, last, greatest };
}

/** Returns how many records of each partition are in the log already. Throws if they differ from those of the file. */
async function presentRecords(nc: Bus, plan: Plan, last: ReadonlyMap<number, number>): Promise<Map<number, number>> {
  const present = new Map<number, number>();
  for (const [partition, through] of last) {
    const { sequence } = await logEnd(nc, partition);
    const first = sequence === 0 ? undefined : await recordAt(nc, partition, BEGINNING);
    if (first !== undefined && (first.room !== undefined || first.stray !== undefined)) {
      throw refusal(`the log of partition ${partition} is not empty`);
    }
    if (sequence > through) {
      throw refusal(
        `the log of partition ${partition} has ${sequence} records, the file ${through}: it is another log, or a newer one`,
      );
    }
    present.set(partition, sequence);
  }
  if ([...present.values()].every((sequence) => sequence <= BEGINNING)) return present;

  const comparing = new Batches((batch) => compare(nc, batch));
  await readAppends(plan, {
    onAppend: (append) => (append.sequence <= present.get(append.partition)! ? comparing.add(append) : undefined),
  });
  await comparing.flush();
  return present;
}

async function compare(nc: Bus, wanted: readonly Append[]): Promise<void> {
  const { partition, sequence: from } = wanted[0]!;
  await scanLog(
    nc,
    { partition, from, until: wanted.at(-1)!.sequence },
    ({ room, record: { sequence, at, entries } }) => {
      const { room: wantedRoom, bytes } = wanted[sequence - from]!;
      const valid = entries.filter((entry) => entry !== null);
      if (room === wantedRoom && Buffer.compare(encodeRecord(at, valid), bytes) === 0) return;
      throw refusal(`the log of partition ${partition} has another record ${sequence} than the file`);
    },
  );
}

/** Gives the empty logs a base above everything that the file has. */
async function beginLogs(nc: Bus, present: Map<number, number>, greatest: Order): Promise<void> {
  const at = Date.now();
  const start = { base: Math.max(baseAt(at), greatest + RAISE), lineage: randomUUID(), parent: null };
  for (const [partition, sequence] of present) {
    if (sequence > 0) continue;
    await beginLog(nc, partition, { at, start });
    present.set(partition, BEGINNING);
  }
}

/** Appends of one partition each, in the order of its log. */
class Batches {
  readonly #handle: (batch: readonly Append[]) => Promise<void>;
  readonly #batches = new Map<number, Append[]>();

  constructor(handle: (batch: readonly Append[]) => Promise<void>) {
    this.#handle = handle;
  }

  async add(append: Append): Promise<void> {
    const batch = this.#batches.get(append.partition);
    if (batch === undefined) this.#batches.set(append.partition, [append]);
    else batch.push(append);
    if (batch !== undefined && batch.length >= IMPORT_RECORDS_MAX) await this.#flush(append.partition, batch);
  }

  async flush(): Promise<void> {
    for (const [partition, batch] of this.#batches) await this.#flush(partition, batch);
  }

  async #flush(partition: number, batch: readonly Append[]): Promise<void> {
    this.#batches.delete(partition);
    await this.#handle(batch);
  }
}

function refusal(reason: string): TidemarkError {
  return new TidemarkError("BUS_MISMATCH", `nothing was imported: ${reason}`);
}
