/** What is wrong with a deployment, as far as its broker, its processes and its workers' heartbeats say: for `tidemark status`. */
import { eachAtOnce } from "../at-once.ts";
import type { Bus } from "../bus/client/connection.ts";
import { STREAMS_AT_ONCE, streamState } from "../bus/client/jetstream.ts";
import type { InstanceReport } from "../bus/contract/instance.ts";
import { reportedConditions } from "../bus/leases/lease-report.ts";
import { federationShards, partitionCount } from "../bus/partition-count.ts";
import type { PushReport } from "../bus/push-reports.ts";
import { keptStreams } from "../bus/streams.ts";
import { CONDITIONS, REASONS, type Reason } from "../conditions.ts";
import type { PartitionStatus } from "./status.ts";

export interface Problem {
  readonly reason: Reason;
  /** What it is about: a partition, a stream, a clock, a homeserver; empty for the whole process. */
  readonly where: string;
  /** Unix time in ms; null when nobody has seen it begin. */
  readonly since: number | null;
  /** The processes that say so; empty for what can be seen from here. */
  readonly instances: readonly string[];
  readonly todo: string;
}

interface Known {
  readonly statuses: readonly PartitionStatus[];
  readonly pushes: readonly PushReport[];
  /** The processes that answered. A worker that did not has its last heartbeat. */
  readonly instances: readonly InstanceReport[];
}

/** Throws `BUS_UNAVAILABLE`. */
export async function problemsOf(nc: Bus, { statuses, pushes, instances }: Known): Promise<Problem[]> {
  const problems = new Map<string, Problem>();
  const add = (reason: Reason, where: string | number, { since = null as number | null, seenBy = "" } = {}) => {
    const key = `${reason} ${where}`;
    const before = problems.get(key);
    problems.set(key, {
      reason,
      where: String(where),
      since: before?.since ?? since,
      instances: [...(before?.instances ?? []), ...(seenBy === "" ? [] : [seenBy])],
      todo: CONDITIONS[reason].todo,
    });
  };
  const reported = await reportedConditions(nc);
  for (const { instance, degraded } of instances) reported.set(instance, degraded);
  for (const [seenBy, degraded] of reported) {
    for (const { reason, where, since } of degraded) if (isReason(reason)) add(reason, where, { since, seenBy });
  }
  for (const { partition, owner, failed } of statuses) {
    if (owner === null) add("partition_unserved", partition);
    for (const worker of failed) {
      if (problems.get(`partition_failed ${partition}`)?.instances.includes(worker)) continue;
      add("partition_failed", partition, { seenBy: worker });
    }
  }
  const counts = { partitions: await partitionCount(nc), shards: await federationShards(nc), replicas: 1 };
  await eachAtOnce(keptStreams(nc, counts), STREAMS_AT_ONCE, async ({ stream, make }) => {
    try {
      if ((await streamState(nc, stream)) === undefined) add(make ? "stream_missing" : "log_missing", stream);
    } catch {
      add("stream_unreachable", stream);
    }
  });
  for (const { id, stalledAt } of pushes) if (stalledAt !== null) add("pushes_stalled", id, { since: stalledAt });
  return [...problems.values()];
}

/** A process of another version may know of others. */
function isReason(text: string): text is Reason {
  return REASONS.some((reason) => reason === text);
}
