/**
 * What each worker should do about a partition (docs/design.md#workers): a function of what all workers see in the lease
 * bucket.
 *
 * Rendezvous hashing ranks the live workers for each partition separately, so a worker that joins or leaves moves only its
 * own share. The first of the ranking should own the partition, and the second stand by for it. A worker is *warm* when it
 * has folded what is published, and could own the partition at once. Assignments lead there, and leave no partition without
 * an owner for longer than necessary:
 *
 * | the lease is | and this worker                                           | its assignment |
 * | ------------ | --------------------------------------------------------- | --- |
 * | its own      | is first, or the first is cold                            | own |
 * | its own      | is not first, and the first is warm                       | handOver |
 * | another's    | is first or second                                        | standby |
 * | another's    | is warm, and the first or second is not yet               | standby |
 * | free         | is the first that is warm, or is first and none is warm   | claim |
 * | free         | comes after that one                                      | claim, once the lease has been free for `CLAIM_STAGGER_MS` per worker before it |
 * | any          | is none of these                                          | none |
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export type Assignment = "own" | "handOver" | "standby" | "claim" | "none";

export interface PartitionView {
  readonly me: string;
  /** Live workers that can serve the partition, as `ranking` orders them. */
  readonly ranking: readonly string[];
  /** The worker with a lease that has not run out. */
  readonly owner: string | undefined;
  /** How long the lease has been free, ms; 0 while a worker has it. */
  readonly freeMs: number;
  readonly isWarm: (worker: string) => boolean;
}

/** How much longer each further worker waits before it claims a free lease, ms. */
export const CLAIM_STAGGER_MS = 2_000;

/** The workers in the order in which they should have a partition. */
export function ranking(partition: number, workers: Iterable<string>): string[] {
  return Array.from(workers, (worker) => ({ worker, weight: weight(worker, partition) }))
    .sort((a, b) => b.weight - a.weight || (a.worker < b.worker ? -1 : 1))
    .map(({ worker }) => worker);
}

export function assignmentOf({ me, ranking, owner, freeMs, isWarm }: PartitionView): Assignment {
  const [first, second] = ranking;
  if (owner === me) return first !== undefined && first !== me && isWarm(first) ? "handOver" : "own";
  const rank = ranking.indexOf(me);
  if (rank === -1) return "none";
  if (owner === undefined) {
    const claimants = [...ranking.filter((worker) => isWarm(worker)), ...ranking.filter((worker) => !isWarm(worker))];
    if (freeMs >= claimants.indexOf(me) * CLAIM_STAGGER_MS) return "claim";
  }
  if (rank < 2) return "standby";
  // A warm worker that is no longer wanted stays until those that replace it are ready.
  const isReady = (worker: string | undefined) => worker === undefined || worker === owner || isWarm(worker);
  return isWarm(me) && !(isReady(first) && isReady(second)) ? "standby" : "none";
}

/** FNV-1a-32 with its bits mixed. Unmixed, the weights of names that differ in the last byte differ only in the last bits. */
function weight(worker: string, partition: number): number {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(`${partition}/${worker}`)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
