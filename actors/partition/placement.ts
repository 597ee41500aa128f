/**
 * Which worker has which part in a partition (docs/design.md#workers): pure, from what everybody sees in the lease bucket.
 *
 * Rendezvous hashing ranks the live workers for each partition, each partition on its own: a worker that joins or leaves
 * moves only its share. The first owns it, the second is its warm standby. What stands in the way of that for the moment
 * is told apart here, so that no partition is without an owner longer than it must be:
 *
 * | the lease       | I am                        | my duty |
 * | --------------- | --------------------------- | --- |
 * | mine            | first, or the first is cold | own |
 * | mine            | not first, the first is warm | hand over |
 * | somebody else's | first or second             | stand by |
 * | free            | the first that is warm, or first when nobody is | claim |
 * | free            | another                     | claim, when it stays free |
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export type Duty = "own" | "handOver" | "standby" | "claim" | "none";

export interface PartitionView {
  readonly me: string;
  /** Live workers that can serve the partition, by preference: `ranking`. */
  readonly ranking: readonly string[];
  /** Who holds a lease that has not run out. */
  readonly holder: string | undefined;
  /** How long the lease is known to be free, ms; 0 while somebody holds it. */
  readonly freeMs: number;
  /** Whether a worker has folded what is published, so that it could go on at once. */
  readonly isWarm: (worker: string) => boolean;
}

/** How much longer each further worker waits for those before it to claim what is free, ms. */
export const CLAIM_STAGGER_MS = 2_000;

/** The workers in the order in which they should have a partition. */
export function ranking(partition: number, workers: Iterable<string>): string[] {
  return Array.from(workers, (worker) => ({ worker, weight: weight(worker, partition) }))
    .sort((a, b) => b.weight - a.weight || (a.worker < b.worker ? -1 : 1))
    .map(({ worker }) => worker);
}

export function dutyOf({ me, ranking, holder, freeMs, isWarm }: PartitionView): Duty {
  const [first, second] = ranking;
  if (holder === me) return first !== undefined && first !== me && isWarm(first) ? "handOver" : "own";
  const rank = ranking.indexOf(me);
  if (rank === -1) return "none";
  if (holder === undefined) {
    const claimants = [...ranking.filter((worker) => isWarm(worker)), ...ranking.filter((worker) => !isWarm(worker))];
    if (freeMs >= claimants.indexOf(me) * CLAIM_STAGGER_MS) return "claim";
  }
  if (rank < 2) return "standby";
  // Who is to take its place has to be ready first.
  const ready = (worker: string | undefined) => worker === undefined || worker === holder || isWarm(worker);
  return isWarm(me) && !(ready(first) && ready(second)) ? "standby" : "none";
}

/** FNV-1a-32, with its bits mixed: by itself it tells names apart that differ in their last byte only in their last bits. */
function weight(worker: string, partition: number): number {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(`${partition}/${worker}`)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
