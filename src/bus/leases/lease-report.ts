/** Who owns each partition, and who stands by for it, without taking part: for `tidemark status`. */
import { LEASE_TTL_MS } from "../../limits.ts";
import type { Bus } from "../client/connection.ts";
import { Bucket } from "../client/kv.ts";
import { type LeaseRow, parseRow, type WorkerRow } from "../contract/lease-rows.ts";
import { LEASES_BUCKET } from "../contract/subjects.ts";

export interface Ownership {
  /** The worker that owns the lease; null when nobody does. */
  readonly owner: string | null;
  /** The sequence through which the owner had folded at its last heartbeat; null when nobody owns it. */
  readonly reported: number | null;
  /** Workers that could take over at once. */
  readonly standbys: readonly string[];
  /** Workers that can't serve it. */
  readonly failed: readonly string[];
}

type Reported = NonNullable<WorkerRow["degraded"]>;

/** What live workers say is wrong at them, by worker. Throws `BUS_UNAVAILABLE`. */
export async function reportedConditions(nc: Bus): Promise<Map<string, Reported>> {
  const { workers } = await liveRows(nc);
  return new Map(workers.map(({ id, report }) => [id, report.degraded ?? []]));
}

/** A row that is `LEASE_TTL_MS` older than the newest one is expired: only the broker's clock counts. */
async function liveRows(nc: Bus) {
  const rows = await new Bucket(nc, LEASES_BUCKET).rows();
  const newest = Math.max(...rows.map(({ at }) => at), 0);
  const leases = new Map<number, LeaseRow>();
  const workers: { readonly id: string; readonly report: WorkerRow }[] = [];
  for (const row of rows) {
    const parsed = newest - row.at < LEASE_TTL_MS ? parseRow(row) : undefined;
    if (parsed?.content === undefined) continue;
    if (parsed.kind === "worker") workers.push({ id: parsed.worker, report: parsed.content });
    else leases.set(parsed.partition, parsed.content);
  }
  workers.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { leases, workers };
}

/** By partition. Throws `BUS_UNAVAILABLE`. */
export async function ownerships(nc: Bus, partitions: number): Promise<Ownership[]> {
  const { leases, workers } = await liveRows(nc);
  return Array.from({ length: partitions }, (_, partition) => {
    const owner = leases.get(partition)?.worker ?? null;
    const idsOf = (list: "warm" | "failed") =>
      workers.filter(({ id, report }) => id !== owner && report[list].includes(partition)).map(({ id }) => id);
    const reported = workers.find(({ id }) => id === owner)?.report.folded[partition] ?? null;
    return { owner, reported, standbys: idsOf("warm"), failed: idsOf("failed") };
  });
}
