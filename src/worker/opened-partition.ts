/** What a partition works with once its checkpoint is open. */
import { join } from "node:path";
import type { Logger } from "pino";
import type { Position } from "../../actors/entry.ts";
import type { Folded } from "../../actors/room/fold.ts";
import { Rooms } from "../../actors/room/rooms.ts";
import type { Bus } from "../bus/client/connection.ts";
import { untilReached } from "../bus/client/retry.ts";
import { lastSequence, logStart, recordAt } from "../bus/log/log.ts";
import { TidemarkError } from "../errors.ts";
import { PartitionStore } from "../store/partition-store.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Memberships } from "./memberships.ts";

export interface OpenedPartition {
  /** Of the log (docs/design.md#words); empty while it has no record. */
  readonly lineage: string;
  readonly store: PartitionStore;
  readonly rooms: Rooms;
  readonly memberships: Memberships;
  readonly checkpoints: Checkpoints;
}

/** How much of a partition is in memory, and how often the rest is written. */
export interface PartitionMemory {
  readonly activeRoomsMax: number;
  readonly idleMs: number;
  readonly checkpointMs: number;
  readonly checkpointEntries: number;
}

interface OpenOptions {
  readonly nc: Bus;
  readonly partition: number;
  /** The folder of all partitions' checkpoints. */
  readonly data: string;
  readonly log: Logger;
  readonly memory: PartitionMemory;
  /** Called once per entry, after it is folded, in log order. */
  readonly folded: Folded;
  /** See `Checkpoints`. */
  readonly published: (through: Position) => Promise<void> | undefined;
  /** Called when a checkpoint is committed. */
  readonly stored: () => void;
  readonly catchingUp: () => boolean;
  readonly overloaded: () => void;
  /** See `Checkpoints`. */
  readonly committed?: ((ms: number) => void) | undefined;
  /** Called when the partition can't go on. */
  readonly failed: (error: unknown) => void;
}

/** Opens a partition's checkpoint, or begins a new one. Throws `LOG_BROKEN` when it belongs to another log. */
export async function openPartition(options: OpenOptions, signal: AbortSignal): Promise<OpenedPartition> {
  const { partition, data, log, memory, folded, published, stored, catchingUp, overloaded, failed, committed } =
    options;
  const store = await PartitionStore.open(join(data, "state", String(partition)), log);
  let lineage: string;
  try {
    lineage = await untilReached(signal, () => checkedLineage(options, store));
  } catch (error) {
    await store.close();
    throw error;
  }
  const memberships = new Memberships(store);
  const rooms = new Rooms({
    store,
    folded: (room, entry) => {
      memberships.update(room, entry);
      folded(room, entry);
    },
    failed,
    max: memory.activeRoomsMax,
    idleMs: memory.idleMs,
    now: () => performance.now(),
  });
  const checkpoints = new Checkpoints({
    store,
    rooms,
    published,
    stored: (through) => {
      memberships.stored(through);
      stored();
    },
    catchingUp,
    overloaded,
    failed,
    committed,
    everyMs: memory.checkpointMs,
    everyEntries: memory.checkpointEntries,
  });
  return { lineage, store, rooms, memberships, checkpoints };
}

/** The lineage of the log. Throws when it is gone, or the checkpoint has another lineage, or the log not the checkpoint's last record. */
async function checkedLineage({ nc, partition, data }: OpenOptions, { mark, start }: PartitionStore): Promise<string> {
  await lastSequence(nc, partition);
  const begun = await logStart(nc, partition);
  if (mark === undefined) return begun?.lineage ?? "";
  const found = await recordAt(nc, partition, mark.sequence);
  const isSame =
    found !== undefined &&
    begun?.lineage === start?.lineage &&
    (found.room ?? null) === mark.room &&
    found.record.at === mark.at &&
    found.record.entries.length === mark.entries;
  if (isSame) return begun?.lineage ?? "";
  const what = found === undefined ? "is ahead of its log" : "is of another log";
  throw new TidemarkError(
    "LOG_BROKEN",
    `the checkpoint of partition ${partition}, at record ${mark.sequence}, ${what}: the log was replaced, or this is another broker's data. Connect the right broker; or, if the log is right, delete ${join(data, "state")}, and it is rebuilt from the log.`,
  );
}
