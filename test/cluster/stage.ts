/** What a fault can reach: the cluster, its processes and its network, and a source of chance. */
import type { TestedCluster } from "./tested-cluster.ts";
import type { Voices } from "./voices.ts";

export interface Stage extends TestedCluster {
  readonly next: () => number;
  readonly voices: Voices;
  /** Partitions whose delta stream was deleted in this history. */
  readonly withoutDeltas: Set<number>;
}
