/**
 * What tests on a real broker need: the broker in a temporary directory, Tidemark in this process, and a client of the
 * bus contract (docs/design.md#the-bus-contract) that uses only `nats` and `msgpackr`.
 *
 *     await using tidemark = await startTidemark();
 *     await tidemark.send("event", ROOM, message("$1"));
 *
 * The rules of subjects and partitions are implemented here a second time, so that tests notice a mistake in the first.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Packr, unpack } from "msgpackr";
import { connect, type JetStreamManager, type NatsConnection } from "nats";
import { type Logger, pino } from "pino";
import * as assert from "uvu/assert";
import { type Broker, type BrokerOptions, startBroker } from "../../src/bus/broker/process.ts";
import { ROLES, type Role, start, type Tidemark } from "../../src/start.ts";
import { messageFault, replyFault } from "./contract.ts";

/** The default timeout of everything that waits. */
export const LIMIT_MS = 30_000;
/** The timeout for a cluster of brokers, which elects leaders and moves replicas on a busy machine. */
export const CLUSTER_LIMIT_MS = 60_000;
const POLL_MS = 10;

/** Plain MessagePack; a key named `toJSON` is a key like any other. */
const packr = new Packr({ useRecords: false, useToJSON: false });
export const pack = (value: unknown): Uint8Array => Uint8Array.from(packr.pack(value));

const ENTRIES_PER_RECORD = 1024;

// biome-ignore lint/suspicious/noExplicitAny: a decoded message of the bus, whose shape is what the test asserts
export type Body = any;

export interface Received {
  readonly subject: string;
  readonly body: Body;
  readonly raw: Uint8Array;
}

/** Messages of a subscription, decoded, in order of arrival. */
export interface Inbox {
  readonly messages: readonly Received[];
  /** Resolves to the first message that satisfies the predicate, received already or later. */
  next(predicate?: (body: Body, subject: string) => boolean): Promise<Received>;
}

interface SendOptions {
  readonly encoding?: "json" | "msgpack";
}

export interface StoredRecord {
  readonly sequence: number;
  readonly subject: string;
  readonly at: number;
  readonly entries: readonly (readonly [kind: number, ...Body[]])[];
}

/** A broker for one test, with a client. */
export interface BusHarness extends AsyncDisposable {
  readonly url: string;
  readonly dir: string;
  readonly nc: NatsConnection;
  readonly jsm: JetStreamManager;
  /** Stops the broker, and starts it again on the same port and store. */
  restartBroker(): Promise<void>;
  /** Stops the broker from answering. Its connections stay open. */
  pauseBroker(): void;
  /**
   * Sends a request to `tidemark.in.<kind>.<target>`. Resolves to the decoded reply, which must have the same encoding.
   */
  send(kind: string, target: string, body: unknown, options?: SendOptions): Promise<Body>;
  /** The same, but the request must be accepted. Resolves to the positions. */
  sent(kind: string, target: string, body: unknown): Promise<number[]>;
  query(room: string, op: Record<string, unknown>, options?: SendOptions): Promise<Body>;
  /** Sends bytes as a request. Resolves to the bytes of the reply. */
  request(subject: string, bytes: Uint8Array): Promise<Uint8Array>;
  subscribe(subject: string): Inbox;
  /** The last sequence of each log stream, by partition. */
  lastSequences(): Promise<number[]>;
  /** All records of the log of a partition. */
  records(partition: number): Promise<StoredRecord[]>;
}

export interface TidemarkHarness extends BusHarness {
  readonly httpUrl: string;
  /** Resolves to the metrics of the process. */
  metrics(): Promise<string>;
  readonly partitions: number;
  partitionOf(room: string): number;
  /** Stops Tidemark, and starts it again on the same broker. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface StartTidemarkOptions {
  readonly partitions?: number;
  readonly roles?: readonly Role[];
  /** The largest message that the broker accepts. */
  readonly payloadBytesMax?: number;
  /** Default: nothing is logged. */
  readonly log?: Logger;
}

export async function startBus(limits: Pick<BrokerOptions, "payloadBytesMax"> = {}): Promise<BusHarness> {
  const dir = await mkdtemp(join(tmpdir(), "tidemark-test-"));
  const storeDir = join(dir, "nats");
  let broker: Broker = await startBroker({ storeDir, ...limits });
  const { url } = broker;
  const nc = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const jsm = await nc.jetstreamManager();

  const faults: string[] = [];

  const request = async (subject: string, bytes: Uint8Array) =>
    (await nc.request(subject, bytes, { timeout: LIMIT_MS })).data;
  const ask = async (subject: string, body: unknown, encoding: "json" | "msgpack") => {
    const reply = await request(subject, encoding === "json" ? Buffer.from(JSON.stringify(body)) : pack(body));
    assert.is(reply[0] === 0x7b, encoding === "json", "the reply has the encoding of the request");
    const answer = decoded(reply);
    assert.is(replyFault(subject, body, answer), undefined, JSON.stringify(answer).slice(0, 1_000));
    return answer;
  };
  const send: BusHarness["send"] = (kind, target, body, { encoding = "msgpack" } = {}) =>
    ask(`tidemark.in.${kind}.${token(target)}`, body, encoding);

  return {
    url,
    dir,
    nc,
    jsm,
    request,
    send,
    sent: async (kind, target, body) => {
      const reply = await send(kind, target, body);
      assert.is(reply.ok, true, JSON.stringify(reply));
      return reply.positions;
    },
    query: (room, op, { encoding = "msgpack" } = {}) => ask(`tidemark.query.${token(room)}`, op, encoding),
    subscribe: (subject) => inbox(nc, subject, faults),
    lastSequences: async () => {
      const logs = await logInfos(jsm);
      return logs.map(({ state }) => state.last_seq);
    },
    records: (partition) => storedRecords(jsm, partition),
    restartBroker: async () => {
      await broker.stop();
      broker = await startBroker({ storeDir, port: Number(new URL(url).port), ...limits });
    },
    pauseBroker: () => broker.kill("SIGSTOP"),
    [Symbol.asyncDispose]: async () => {
      await nc.close();
      await broker.stop();
      await rm(dir, { recursive: true, force: true });
      assert.equal(faults, [], "published messages have the shapes of the contract");
    },
  };
}

/** The base of the logs of all test brokers: the nth live event of a room has the order `BASE + n` (F1). */
export const BASE = 1_000;

/** Options of `start` for a process with HTTP on this bus, with two partitions. */
export function servedOn({ url, dir }: BusHarness) {
  return { nats: url, data: dir, http: { host: "127.0.0.1", port: 0 }, partitions: 2, base: BASE };
}

/** Default: two partitions, enough to differ from one, and faster than eight. */
export async function startTidemark(options: StartTidemarkOptions = {}): Promise<TidemarkHarness> {
  const { payloadBytesMax } = options;
  const bus = await startBus(payloadBytesMax === undefined ? {} : { payloadBytesMax });
  try {
    const { partitions = 2 } = options;
    let tidemark: Tidemark | undefined = await startOn(bus, options);
    const { httpUrl } = tidemark;
    const stop = async () => {
      await tidemark?.stop();
      tidemark = undefined;
    };
    return {
      ...bus,
      httpUrl,
      metrics: () => metricsOf(tidemark),
      partitions,
      partitionOf: (room) => partitionOf(room, partitions),
      stop,
      restart: async () => {
        await stop();
        tidemark = await startOn(bus, options);
      },
      [Symbol.asyncDispose]: async () => {
        await stop();
        await bus[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await bus[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts another Tidemark on a running broker. It is stopped when it is disposed of. */
export async function startOn(
  bus: BusHarness,
  { partitions = 2, roles = ROLES, log = pino({ level: "silent" }) }: StartTidemarkOptions = {},
): Promise<Tidemark & AsyncDisposable> {
  const tidemark = await start({
    nats: bus.url,
    data: bus.dir,
    http: { host: "127.0.0.1", port: 0 },
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set(roles),
    partitions,
    base: BASE,
    log,
  });
  return { ...tidemark, [Symbol.asyncDispose]: () => tidemark.stop() };
}

/** Resolves to the metrics of a process. */
export async function metricsOf(tidemark: Pick<Tidemark, "metricsUrl"> | undefined): Promise<string> {
  return (await fetch(`${tidemark?.metricsUrl}/metrics`)).text();
}

/** A foreign string as one token of a subject (docs/design.md#subjects). */
export function token(text: string): string {
  return text.replace(/[^A-Za-z0-9!#$:_=/+~-]/gu, (char) =>
    Array.from(Buffer.from(char), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** FNV-1a-32 of the room id's UTF-8, modulo the count (docs/design.md#records). */
function partitionOf(room: string, partitions: number): number {
  let hash = 2_166_136_261n;
  for (const byte of Buffer.from(room)) hash = ((hash ^ BigInt(byte)) * 16_777_619n) % 4_294_967_296n;
  return Number(hash % BigInt(partitions));
}

export function positionOf(sequence: number, index: number): number {
  return sequence * ENTRIES_PER_RECORD + index;
}

export function sequenceOf(position: number): number {
  return Math.floor(position / ENTRIES_PER_RECORD);
}

/** A message event, as a homeserver sends it. */
export function message(id: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const content = { msgtype: "m.text", body: `this is ${id}` };
  return { event_id: id, type: "m.room.message", sender: "@alice:a.org", origin_server_ts: 1_000, content, ...more };
}

/** Messages `$0`, `$1`, …. */
export function messages(count: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, i) => message(`$${i}`));
}

export function receipt(user: string, event: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { user_id: user, receipt_type: "m.read", event_id: event, ts: 5_000, ...more };
}

/** Polls until the condition holds. Throws after `limitMs`. */
export async function eventually(condition: () => unknown, what: string, limitMs = LIMIT_MS): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(POLL_MS);
  }
}

/** Returns the error of a promise, which must reject with this code. */
export async function rejects(promise: Promise<unknown>, code: string): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error)) throw new Error(`expected a rejection with ${code}`);
  assert.is("code" in error ? error.code : undefined, code, error.message);
  return error;
}

export function decoded(bytes: Uint8Array): Body {
  return bytes[0] === 0x7b || bytes[0] === 0x5b ? JSON.parse(Buffer.from(bytes).toString()) : unpack(bytes);
}

/** `faults` collects what is wrong with the messages. */
function inbox(nc: NatsConnection, subject: string, faults: string[]): Inbox {
  const messages: Received[] = [];
  const waiting = new Set<(received: Received) => void>();
  nc.subscribe(subject, {
    callback: (error, { subject, data }) => {
      if (error !== null) return;
      const received = { subject, body: unpack(data), raw: Uint8Array.from(data) };
      const fault = messageFault(subject, received.body);
      if (fault !== undefined) faults.push(`${subject}: ${fault}`);
      messages.push(received);
      for (const offer of waiting) offer(received);
    },
  });
  const next: Inbox["next"] = (predicate = () => true) =>
    new Promise((resolve, reject) => {
      const here = messages.find(({ body, subject }) => predicate(body, subject));
      if (here !== undefined) {
        resolve(here);
        return;
      }
      const offer = (received: Received) => {
        if (!predicate(received.body, received.subject)) return;
        clearTimeout(timer);
        waiting.delete(offer);
        resolve(received);
      };
      const timer = setTimeout(() => {
        waiting.delete(offer);
        reject(new Error(`no such message on ${subject} within ${LIMIT_MS} ms`));
      }, LIMIT_MS);
      waiting.add(offer);
    });
  return { messages, next };
}

async function logInfos(jsm: JetStreamManager) {
  const logs = await jsm.streams.list("tidemark.log.>").next();
  return logs.sort((a, b) => a.config.name.localeCompare(b.config.name, "en", { numeric: true }));
}

/** The records of rooms: not the first message, with which the log begins. */
async function storedRecords(jsm: JetStreamManager, partition: number): Promise<StoredRecord[]> {
  const stream = `TIDEMARK_LOG_${partition}`;
  const { state } = await jsm.streams.info(stream);
  const records: StoredRecord[] = [];
  for (let seq = 1; seq <= state.last_seq; seq++) {
    const stored = await jsm.streams.getMessage(stream, { seq });
    const [, at, entries] = unpack(stored.data);
    if (stored.subject === `tidemark.log.${partition}.start`) continue;
    records.push({ sequence: seq, subject: stored.subject, at, entries });
  }
  return records;
}
