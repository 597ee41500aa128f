/** How far every partition is, according to its log, its owner and its delta stream. */
import { type Position, sequenceOf } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import { publishedPosition } from "../bus/deltas/published-mark.ts";
import { type Ownership, ownerships } from "../bus/leases/lease-report.ts";
import { logEnd, recordAt } from "../bus/log/log.ts";
import { partitionCount } from "../bus/partition-count.ts";

export interface PartitionStatus extends Ownership {
  readonly partition: number;
  readonly records: number;
  /** Sequence of the newest record; 0 for an empty log. */
  readonly last: number;
  /** Unix time of the newest record, ms; null for an empty log. */
  readonly at: number | null;
  /**
   * The newest sequence of the newest record's room that the owner has folded. If it is smaller than `last`, the newest
   * record is not folded yet. null if the owner does not answer.
   */
  readonly folded: number | null;
  /** All changes through this position are published. Newer ones may be published, too. */
  readonly published: Position;
  /** The number of records that the owner has not folded; null if it does not answer. */
  readonly lag: number | null;
}

export async function partitionStatuses(nc: Bus): Promise<PartitionStatus[]> {
  const partitions = await partitionCount(nc);
  const owners = await ownerships(nc, partitions);
  return await Promise.all(
    owners.map(async (ownership, partition) => {
      const { records, sequence } = await logEnd(nc, partition);
      const newest = sequence === 0 ? undefined : await recordAt(nc, partition, sequence);
      const answer =
        newest === undefined
          ? undefined
          : await ask(nc, newest.room, { op: "orders", event_ids: [] }).catch(() => undefined);
      const folded = answer === undefined ? null : sequenceOf(answer.position);
      return {
        partition,
        ...ownership,
        records,
        last: sequence,
        at: newest?.record.at ?? null,
        folded,
        lag: sequence === 0 ? 0 : folded === null ? null : sequence - folded,
        published: (await publishedPosition(nc, { partition, lineage: "" })) ?? 0,
      };
    }),
  );
}
