/** How far every partition is, as its log, its owner's answers and its delta stream tell. */
import { type Position, sequenceOf } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import { publishedThrough } from "../bus/deltas/published-header.ts";
import { type Ownership, ownerships } from "../bus/leases/lease-report.ts";
import { logEnd, recordAt } from "../bus/log/log.ts";
import { partitionCount } from "../bus/partition-count.ts";

export interface PartitionStatus extends Ownership {
  readonly partition: number;
  readonly records: number;
  /** Sequence of the newest record; 0 for none. */
  readonly last: number;
  /** Its clock, ms since 1970. */
  readonly at: number | null;
  /**
   * Through which sequence the owner has folded, as far as a query tells: it is asked about the newest record's room,
   * so a smaller sequence means that the newest record is not folded yet. null when nobody answers.
   */
  readonly folded: number | null;
  /** Everything through this position is known to be published. Newer changes may be, too. */
  readonly published: Position;
  /** Records that the owner has not folded; null when nobody answers. */
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
        published: await publishedThrough(nc, partition),
      };
    }),
  );
}
