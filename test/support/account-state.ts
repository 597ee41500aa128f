/** What the streams of an account have, to see whether anything was written there. */
import type { NatsConnection } from "nats";

/** The prefix of an account's JetStream API, as `admin` sees it. */
export type Api = "$JS.API" | "EDGE.JS.API" | "FEDERATION.JS.API";

export const managerOf = (admin: NatsConnection, apiPrefix: Api) =>
  admin.jetstreamManager({ apiPrefix, checkAPI: false });

interface StreamContents {
  readonly config: unknown;
  readonly created: string;
  readonly messages: number;
  readonly bytes: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly subjects: Readonly<Record<string, number>>;
  readonly consumers: readonly string[];
}

/** By stream, what it has and who reads it, but not who leads it. */
export async function accountState(admin: NatsConnection, api: Api): Promise<Record<string, StreamContents>> {
  const jsm = await managerOf(admin, api);
  const state: Record<string, StreamContents> = {};
  for (const { config, created } of await jsm.streams.list().next()) {
    const { state: now } = await jsm.streams.info(config.name, { subjects_filter: ">" });
    const { messages, bytes, first_seq, last_seq, subjects = {} } = now;
    const consumers = (await jsm.consumers.list(config.name).next()).map(({ name }) => name);
    state[config.name] = { config, created, messages, bytes, first_seq, last_seq, subjects, consumers };
  }
  return state;
}
