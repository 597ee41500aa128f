/** What a fault can reach: the cluster, its processes and its network, and a source of chance. */
import type { NatsCluster } from "../support/nats-cluster.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Network } from "./network.ts";
import type { ClusterProcess } from "./process.ts";

export interface Stage {
  readonly cluster: NatsCluster;
  readonly network: Network;
  readonly arrivals: Arrivals;
  readonly workers: readonly ClusterProcess[];
  readonly ingresses: readonly ClusterProcess[];
  readonly gateways: readonly ClusterProcess[];
  readonly next: () => number;
}
