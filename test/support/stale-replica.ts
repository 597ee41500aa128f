/** A connection through which consumers read a bad copy of a stream, as at a broker that is still making its replica. */
import { type ConsumerConfig, ErrorCode, NatsError } from "nats";
import type { Bus } from "../../src/bus/client/connection.ts";
import type { BusHarness } from "./harness.ts";

export const STREAM = "NUMBERS";
/** A stream of its own, with what the bad copy has. */
export const COPY = "COPY";

/** Makes the stream, with so many messages, and the copy, without any. */
export async function makeStreams({ jsm, nc }: BusHarness, count: number): Promise<void> {
  for (const name of [STREAM, COPY]) await jsm.streams.add({ name, subjects: [`${name}.>`] });
  await appendTo(nc, STREAM, count);
}

export async function appendTo(nc: Bus, stream: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await nc.jetstream().publish(`${stream}.n`, "");
}

export interface StaleReplica {
  readonly nc: Bus;
  /** The first sequence that each consumer was asked for. */
  readonly opened: readonly (number | undefined)[];
  /** How many questions the stream's leader was asked. */
  readonly asked: () => number;
}

interface StaleReplicaOptions {
  /** How many consumers read the copy. The others read the stream. */
  readonly consumers: number;
  /** How many questions the stream's leader doesn't answer. Default: 0. */
  readonly unanswered?: number;
}

export async function staleReplica(
  { nc, jsm }: BusHarness,
  { consumers, unanswered = 0 }: StaleReplicaOptions,
): Promise<StaleReplica> {
  const opened: (number | undefined)[] = [];
  /** Which stream a consumer reads. */
  const streams = new Map<string, string>();
  const streamOf = (stream: string, consumer: string) => streams.get(consumer) ?? stream;
  let asked = 0;
  const ask = <T>(answer: () => Promise<T>): Promise<T> =>
    ++asked > unanswered ? answer() : Promise.reject(NatsError.errorForCode(ErrorCode.Timeout));
  const js = nc.jetstream();
  const staleManager = withOwn(jsm, {
    consumers: withOwn(jsm.consumers, {
      add: async (stream: string, config: Partial<ConsumerConfig>) => {
        opened.push(config.opt_start_seq);
        const info = await jsm.consumers.add(opened.length > consumers ? stream : COPY, config);
        streams.set(info.name, info.stream_name);
        return info;
      },
      delete: (stream: string, name: string) => jsm.consumers.delete(streamOf(stream, name), name),
    }),
    streams: withOwn(jsm.streams, {
      info: (...args) => ask(() => jsm.streams.info(...args)),
      getMessage: (...args) => ask(() => jsm.streams.getMessage(...args)),
    }),
  });
  const stale = withOwn(nc, {
    jetstreamManager: async () => staleManager,
    jetstream: () =>
      withOwn(js, {
        consumers: withOwn(js.consumers, {
          get: (stream, name) => js.consumers.get(streamOf(stream, String(name)), name),
        }),
      }),
  });
  return { nc: stale, opened, asked: () => asked };
}

/** The same object, with some properties of its own. */
function withOwn<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(key in own ? own : target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
