/**
 * Sends the requests of `nats stream backup` and `nats stream restore` to the JetStream API (ADR-14 of NATS), for
 * machines without that tool.
 */
import { createInbox, type NatsConnection } from "nats";
import * as assert from "uvu/assert";
import { CLUSTER_LIMIT_MS, eventually, LIMIT_MS } from "./harness.ts";

const CHUNK_BYTES = 65_536;

export interface StreamBackup {
  readonly stream: string;
  readonly config: object;
  readonly state: object;
  readonly chunks: readonly Uint8Array[];
}

interface ApiReply {
  readonly error?: { readonly err_code: number; readonly description: string };
}

/** A cluster that has just started may not know all its servers yet. */
const NO_SUITABLE_PEERS = 10_005;

async function api<T>(nc: NatsConnection, subject: string, body: unknown): Promise<T> {
  let reply: ApiReply = {};
  const asked = async () => {
    reply = (await nc.request(`$JS.API.${subject}`, JSON.stringify(body), { timeout: LIMIT_MS })).json<ApiReply>();
    return reply.error?.err_code !== NO_SUITABLE_PEERS;
  };
  await eventually(asked, `the cluster is ready for ${subject}`, CLUSTER_LIMIT_MS);
  assert.is(reply.error, undefined, `${subject}: ${reply.error?.description}`);
  return reply as T;
}

export async function backUpStream(nc: NatsConnection, stream: string): Promise<StreamBackup> {
  const inbox = createInbox("_INBOX_admin");
  const subscription = nc.subscribe(inbox);
  const { config, state } = await api<{ config: object; state: object }>(nc, `STREAM.SNAPSHOT.${stream}`, {
    deliver_subject: inbox,
    no_consumers: true,
    chunk_size: CHUNK_BYTES,
  });
  const chunks: Uint8Array[] = [];
  for await (const message of subscription) {
    if (message.data.length === 0) break;
    chunks.push(Uint8Array.from(message.data));
    message.respond();
  }
  subscription.unsubscribe();
  return { stream, config, state, chunks };
}

export async function restoreStream(
  nc: NatsConnection,
  { stream, config, state, chunks }: StreamBackup,
): Promise<void> {
  const { deliver_subject: to } = await api<{ deliver_subject: string }>(nc, `STREAM.RESTORE.${stream}`, {
    config,
    state,
  });
  for (const chunk of chunks) await nc.request(to, chunk, { timeout: LIMIT_MS });
  const { error } = (await nc.request(to, "", { timeout: LIMIT_MS })).json<ApiReply>();
  assert.is(error, undefined, `${stream}: ${error?.description}`);
}
