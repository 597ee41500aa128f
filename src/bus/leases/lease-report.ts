/** Who owns and stands by for which partition, for whoever only looks: `tidemark status`. */
import { LEASE_TTL_MS } from "../../limits.ts";
import { type Bus, isNotFound, translate } from "../client/connection.ts";
import { LEASES_BUCKET } from "../contract/subjects.ts";
import type { StoredWorker } from "./leases.ts";

export interface Ownership {
  /** The worker that holds the lease; null when nobody does. */
  readonly owner: string | null;
  /** Workers that could go on at once. */
  readonly standbys: readonly string[];
  /** Workers that can't serve it. */
  readonly failed: readonly string[];
}

interface Entry {
  readonly value: unknown;
  /** When the broker stored it, ms since 1970. */
  readonly at: number;
}

/** By partition. What was not renewed within a lease's time of the newest entry is over: only the broker's clock counts. */
export async function ownerships(nc: Bus, partitions: number): Promise<Ownership[]> {
  const entries = await leaseEntries(nc);
  const newest = Math.max(...Array.from(entries.values(), ({ at }) => at), 0);
  const live = new Map([...entries].filter(([, { at }]) => newest - at < LEASE_TTL_MS));
  const workers = Array.from(live, ([key, { value }]) => ({ key, said: value as StoredWorker }))
    .filter(({ key }) => key.startsWith("worker."))
    .map(({ key, said }) => ({ id: key.slice("worker.".length), said }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  return Array.from({ length: partitions }, (_, partition) => {
    const lease = live.get(`partition.${partition}`)?.value as { worker: string } | undefined;
    const owner = lease?.worker ?? null;
    const those = (list: "warm" | "failed") =>
      workers.filter(({ id, said }) => id !== owner && said[list].includes(partition)).map(({ id }) => id);
    return { owner, standbys: those("warm"), failed: those("failed") };
  });
}

async function leaseEntries(nc: Bus): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    const { state } = await jsm.streams.info(`KV_${LEASES_BUCKET}`, { subjects_filter: ">" });
    const bucket = await nc.jetstream().views.kv(LEASES_BUCKET, { bindOnly: true });
    await Promise.all(
      Object.keys(state.subjects ?? {}).map(async (subject) => {
        const key = subject.slice(`$KV.${LEASES_BUCKET}.`.length);
        const entry = await bucket.get(key);
        if (entry?.operation === "PUT") entries.set(key, { value: entry.json(), at: entry.created.getTime() });
      }),
    );
  } catch (error) {
    if (!isNotFound(error)) throw translate(error, "read the owner leases");
  }
  return entries;
}
