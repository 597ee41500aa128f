/**
 * What a user of an outside account could try against Tidemark's own account: have the broker write there, by the reply subject
 * of a request or the deliver subject of a consumer (docs/adr/0017-accounts.md). The broker checks neither.
 */
import type { NatsConnection } from "nats";
import * as assert from "uvu/assert";
import { LIMIT_MS, message, pack } from "./harness.ts";
import type { User } from "./nats-cluster.ts";

const ROOM = "!x:a";
const DELTAS = "TIDEMARK_DELTAS_0";
/** A durable pull consumer in the account of `federation`, which only an operator can make. */
export const DURABLE = "sender";

export type Outsider = Extract<User, "homeserver" | "frontend" | "gateway" | "federation">;
export const OUTSIDERS: readonly Outsider[] = ["homeserver", "federation", "frontend", "gateway"];

/** Where nothing of an outsider may arrive. */
const TARGETS = [
  `tidemark.log.0.${ROOM}`,
  "tidemark.log.0.start",
  `tidemark.client.0.${ROOM}.events`,
  `tidemark.client.0.${ROOM}.receipts`,
  "tidemark.user.0.%40a:a.receipts",
  "tidemark.federation.0.b",
  `tidemark.rejected.0.${ROOM}`,
  `tidemark.owner.0.${ROOM}`,
  "tidemark.published.0",
  "tidemark.status",
  "$KV.tidemark.partitions",
  "$KV.tidemark.federation_shards",
  "$KV.tidemark_leases.partition.0",
  "$KV.tidemark_leases.worker.x",
  "$KV.tidemark_published.partition.0",
  "$KV.tidemark_archive.partition.0",
  // The API of their own account, and what is imported of that of Tidemark's.
  "$JS.API.STREAM.DELETE.TIDEMARK_LOG_0",
  "$JS.API.STREAM.PURGE.KV_tidemark_leases",
  `$JS.API.CONSUMER.CREATE.TIDEMARK_LOG_0`,
  `TIDEMARK.JS.API.CONSUMER.CREATE.${DELTAS}`,
  "TIDEMARK.JS.API.CONSUMER.CREATE.TIDEMARK_FEDERATION_0",
  "TIDEMARK.JS.API.CONSUMER.CREATE.KV_tidemark",
  "TIDEMARK.JS.API.STREAM.DELETE.TIDEMARK_LOG_0",
  "TIDEMARK.DELIVER.EDGE.x",
  "TIDEMARK.DELIVER.FEDERATION.x",
];

/** A request that is answered. */
interface Verb {
  readonly subject: string;
  readonly body?: Uint8Array | string;
}

const pull = (stream: string, consumer: string): Verb => ({
  subject: `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
  body: JSON.stringify({ batch: 3, no_wait: true }),
});
const newest = (stream: string, subject: string): Verb => ({
  subject: `$JS.API.STREAM.MSG.GET.${stream}`,
  body: JSON.stringify({ last_by_subj: subject }),
});

const READER: readonly Verb[] = [
  { subject: "$JS.API.INFO" },
  { subject: `$JS.API.STREAM.INFO.${DELTAS}` },
  newest(DELTAS, "tidemark.client.0.*.events"),
  newest("KV_tidemark", "$KV.tidemark.partitions"),
  { subject: `$JS.API.CONSUMER.INFO.${DELTAS}.pulled` },
  pull(DELTAS, "pulled"),
];

/** What each may do that is answered by the broker; what Tidemark answers goes nowhere while no process runs. */
const VERBS: Record<Outsider, readonly Verb[]> = {
  homeserver: [],
  frontend: READER,
  gateway: [
    ...READER,
    { subject: "$KV.tidemark_transactions.x", body: "row" },
    newest("KV_tidemark_transactions", "$KV.tidemark_transactions.x"),
    newest("KV_tidemark_keys", "$KV.tidemark_keys.x"),
  ],
  federation: [
    { subject: "$KV.tidemark_federation.b", body: "1" },
    newest("KV_tidemark_federation", "$KV.tidemark_federation.b"),
    newest("KV_tidemark", "$KV.tidemark.federation_shards"),
    { subject: "$JS.API.STREAM.INFO.TIDEMARK_FEDERATION_0" },
    newest("TIDEMARK_FEDERATION_0", ">"),
    { subject: `$JS.API.CONSUMER.INFO.TIDEMARK_FEDERATION_0.${DURABLE}` },
    pull("TIDEMARK_FEDERATION_0", DURABLE),
  ],
};

/** What Tidemark itself would answer. */
const REQUESTS: Record<Outsider, readonly Verb[]> = {
  homeserver: [{ subject: `tidemark.in.event.${ROOM}`, body: pack(message("$x")) }],
  frontend: [{ subject: `tidemark.query.${ROOM}`, body: pack({ op: "snapshot" }) }],
  gateway: [{ subject: `tidemark.in.event.${ROOM}`, body: pack(message("$x")) }],
  federation: [],
};

/** Tries everything. Resolves when the broker has answered all of it. */
export async function attack(nc: NatsConnection, user: Outsider): Promise<void> {
  const reads = user === "frontend" || user === "gateway";
  if (reads) await consume(nc, { name: "pulled" });
  await tricks(nc, [...VERBS[user], ...REQUESTS[user]]);
  if (reads) {
    for (const [i, target] of TARGETS.entries()) {
      await consume(nc, { name: `push${i}`, deliver_subject: target });
      await consume(nc, { name: `empty${i}`, deliver_subject: target, headers_only: true });
      await consume(nc, {
        name: `flow${i}`,
        deliver_subject: target,
        flow_control: true,
        idle_heartbeat: 100_000_000,
      });
    }
  }
  for (const { subject, body } of VERBS[user]) {
    const { data, headers } = await nc.request(subject, body, { timeout: LIMIT_MS });
    assert.ok(data.length > 0 || headers !== undefined, `${user} is answered on ${subject}`);
  }
  await nc.flush();
}

/** Makes each request with each target as its reply subject, and publishes to the targets themselves. */
export async function tricks(nc: NatsConnection, verbs: readonly Verb[]): Promise<void> {
  for (const reply of TARGETS) {
    nc.publish(reply, "x");
    for (const { subject, body } of verbs) nc.publish(subject, body, { reply });
  }
  await nc.flush();
}

/** Makes a consumer of the deltas; a deliver subject is refused when it forms a cycle, and the consumer is not made. */
async function consume(nc: NatsConnection, config: { readonly name: string } & Record<string, unknown>): Promise<void> {
  const common = { ack_policy: "none", deliver_policy: "all", mem_storage: true, num_replicas: 1 };
  const body = JSON.stringify({ stream_name: DELTAS, config: { ...common, ...config } });
  await nc.request(`$JS.API.CONSUMER.CREATE.${DELTAS}.${config.name}`, body, { timeout: LIMIT_MS });
}
