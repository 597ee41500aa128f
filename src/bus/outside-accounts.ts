/**
 * What is in the accounts of those outside of Tidemark (docs/design.md#accounts): mirrors of the streams that they read, and the
 * buckets that they write.
 *
 *     TIDEMARK                            EDGE: front-ends, gateways      FEDERATION: senders
 *     TIDEMARK_DELTAS_<partition>  ─────▶ mirror
 *     TIDEMARK_FEDERATION_<shard>  ─────────────────────────────────────▶ mirror
 *     KV_tidemark, the counts      ─────▶ mirror                    ────▶ mirror
 *
 * A mirror has the name of its stream. So readers need not know whether the broker has these accounts: on one without, they read
 * the streams themselves, and the buckets are beside them.
 */
import { eachAtOnce } from "../at-once.ts";
import { TRANSACTIONS_AGE_MS } from "../limits.ts";
import type { Bus } from "./client/connection.ts";
import { STREAMS_AT_ONCE } from "./client/jetstream.ts";
import { ensureBucket, streamOf } from "./client/kv.ts";
import { ensureMirror, isImported, type OtherAccount } from "./client/mirror.ts";
import {
  deltaStream,
  FEDERATION_CURSORS_BUCKET,
  federationStream,
  PARTITIONS_BUCKET,
  SEALING_KEYS_BUCKET,
  TRANSACTIONS_BUCKET,
} from "./contract/subjects.ts";
import type { Counts } from "./partition-count.ts";

function accountOf(name: string): OtherAccount {
  return { api: `${name}.JS.API`, originApi: "TIDEMARK.JS.API", deliver: `TIDEMARK.DELIVER.${name}` };
}

const EDGE = accountOf("EDGE");
const FEDERATION = accountOf("FEDERATION");

/** The prefix of the JetStream API of the account of gateways and proxies; undefined on a broker of one account. Throws `BUS_UNAVAILABLE`. */
export async function edgeApi(nc: Bus): Promise<string | undefined> {
  return (await isImported(nc, EDGE)) ? EDGE.api : undefined;
}

/** What front-ends and gateways write. */
export const EDGE_BUCKETS = [TRANSACTIONS_BUCKET, SEALING_KEYS_BUCKET] as const;

/** Makes the buckets that front-ends and gateways write. Default of `api`: in this connection's account. */
export async function ensureEdgeBuckets(nc: Bus, replicas: number, api?: string): Promise<void> {
  await Promise.all([
    ensureBucket(nc, TRANSACTIONS_BUCKET, { replicas, ttlMs: TRANSACTIONS_AGE_MS }, api),
    ensureBucket(nc, SEALING_KEYS_BUCKET, { replicas }, api),
  ]);
}

/** Makes the bucket that senders of federation write. */
export async function ensureFederationBuckets(nc: Bus, replicas: number, api?: string): Promise<void> {
  await ensureBucket(nc, FEDERATION_CURSORS_BUCKET, { replicas }, api);
}

/** Makes what is missing in the accounts that the broker has. Throws `BUS_UNAVAILABLE`. */
export async function prepareOutside(nc: Bus, replicas: number, { partitions, shards }: Counts): Promise<void> {
  if (await isImported(nc, EDGE)) {
    await ensureEdgeBuckets(nc, replicas, EDGE.api);
    await ensureMirrors(nc, numbered(partitions, deltaStream), EDGE);
  }
  if (await isImported(nc, FEDERATION)) {
    await ensureFederationBuckets(nc, replicas, FEDERATION.api);
    await ensureMirrors(nc, numbered(shards, federationStream), FEDERATION);
  }
}

function numbered(count: number, stream: (number: number) => string): readonly string[] {
  return Array.from({ length: count }, (_, number) => stream(number));
}

/** Of the counts last: a process that finds them relies on the rest. */
async function ensureMirrors(nc: Bus, streams: readonly string[], account: OtherAccount): Promise<void> {
  await eachAtOnce(streams, STREAMS_AT_ONCE, (stream) => ensureMirror(nc, stream, account));
  await ensureMirror(nc, streamOf(PARTITIONS_BUCKET), account);
}
