/** How far every partition is, according to its log, its owner and its delta stream. */
import { type Position, sequenceOf } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import { publishedPosition } from "../bus/deltas/published-mark.ts";
import { type Ownership, ownerships } from "../bus/leases/lease-report.ts";
import { logEnd, logStart, recordAt } from "../bus/log/log.ts";
import { partitionCount, refuseLogsWithoutCount } from "../bus/partition-count.ts";
import { reasonOf } from "../errors.ts";
import type { RoomId } from "../matrix/ids.ts";

export interface PartitionStatus extends Omit<Ownership, "reported"> {
  readonly partition: number;
  readonly records: number;
  /** Sequence of the newest record; 0 for an empty log. */
  readonly last: number;
  /** Unix time of the newest record, ms; null for an empty log. */
  readonly at: number | null;
  /**
   * The newest sequence of the newest record's room that the owner has folded, or what the owner has reported if the newest message
   * is of no room. If it is smaller than `last`, the newest record is not folded yet. null if the owner does not answer.
   */
  readonly folded: number | null;
  /** All changes through this position are published. Newer ones may be published, too. */
  readonly published: Position;
  /** The number of records that the owner has not folded; null if it does not answer. */
  readonly lag: number | null;
  /** Why its log could not be looked at, which then counts as empty; null when it could. */
  readonly fault: string | null;
}

/** Throws `BUS_UNAVAILABLE`, and `BUS_MISMATCH` when there are logs without their count. */
export async function partitionStatuses(nc: Bus): Promise<PartitionStatus[]> {
  await refuseLogsWithoutCount(nc);
  const partitions = await partitionCount(nc);
  const owners = await ownerships(nc, partitions);
  return await Promise.all(
    owners.map(async (owned, partition) => {
      try {
        return await statusOf(nc, partition, owned);
      } catch (error) {
        const { reported: folded, ...ownership } = owned;
        const nothing = { records: 0, last: 0, at: null, lag: null, published: 0 };
        return { partition, ...ownership, ...nothing, folded, fault: reasonOf(error) };
      }
    }),
  );
}

async function statusOf(nc: Bus, partition: number, { reported, ...ownership }: Ownership): Promise<PartitionStatus> {
  const { records, sequence } = await logEnd(nc, partition);
  const newest = sequence === 0 ? undefined : await recordAt(nc, partition, sequence);
  const begun = await logStart(nc, partition);
  const folded = newest?.room === undefined ? reported : await foldedIn(nc, newest.room);
  return {
    partition,
    ...ownership,
    records,
    last: sequence,
    at: newest?.record.at ?? null,
    folded,
    lag: sequence === 0 ? 0 : folded === null ? null : sequence - folded,
    published: (await publishedPosition(nc, { partition, lineage: begun?.lineage ?? "" })) ?? 0,
    fault: null,
  };
}

async function foldedIn(nc: Bus, room: RoomId): Promise<number | null> {
  const answer = await ask(nc, room, { op: "orders", event_ids: [] }).catch(() => undefined);
  return answer === undefined ? null : sequenceOf(answer.position);
}
