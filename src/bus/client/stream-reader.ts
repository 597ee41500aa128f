/**
 * Reads a stream in order and without holes, from a sequence on, and goes on with what comes, until it is closed.
 *
 *     opening ──▶ reading ──(a hole, a reconnect, heartbeats missed, the consumer gone)──▶ opening, where it stopped
 *
 * The consumer acknowledges nothing and lives in the broker's memory; another one goes on wherever one is lost. The client's
 * own ordered consumer does that too, but finds a loss only by the message after it: what was on its way when the
 * connection broke has been delivered for all that the broker knows, and where nothing follows, nothing is missed. So
 * every reconnect begins anew here.
 *
 * A consumer that was given up is not removed: the broker does that by itself, and not every role may.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  AckPolicy,
  ConsumerEvents,
  type ConsumerMessages,
  DeliverPolicy,
  type NatsConnection,
  nanos,
  nuid,
} from "nats";
import {
  BUS_RETRY_MS_MAX,
  CONSUMER_EXPIRES_MS,
  CONSUMER_HEARTBEAT_MS,
  CONSUMER_IDLE_MS,
  FETCH_MESSAGES_DEFAULT,
} from "../../limits.ts";
import { type ConsumerMessage, type Delivered, delivered } from "./delivered.ts";
import { untilReached } from "./retry.ts";

interface StreamReaderOptions {
  readonly stream: string;
  /** The first sequence; `latest`: the newest message of each subject first. */
  readonly from: number | "latest";
  /** Only messages of this subject. */
  readonly subject?: string;
  /** Messages that are asked for ahead. */
  readonly ahead?: number;
  /** Must not throw. */
  readonly onMessage: (message: Delivered) => void;
}

const LOST: ReadonlySet<unknown> = new Set([
  ConsumerEvents.HeartbeatsMissed,
  ConsumerEvents.ConsumerNotFound,
  ConsumerEvents.ConsumerDeleted,
  ConsumerEvents.StreamNotFound,
  ConsumerEvents.NoResponders,
]);

export class StreamReader {
  /** How many messages waited when it began. Rejects when there is no such stream, or it may not be read. */
  readonly opened: Promise<number>;
  readonly #nc: NatsConnection;
  readonly #options: StreamReaderOptions;
  readonly #ended = new AbortController();
  readonly #unlisten: () => void;
  #next: number | "latest";
  #messages: ConsumerMessages | undefined;
  /** Of consumers: what an earlier one still brings doesn't count. */
  #generation = 0;
  #delivered = 0;

  /** Transient failures at the beginning are waited for, later ones of any kind. */
  constructor(nc: NatsConnection, options: StreamReaderOptions) {
    this.#nc = nc;
    this.#options = options;
    this.#next = options.from;
    this.#unlisten = onReconnect(nc, () => this.#lost(this.#generation));
    this.opened = this.#open();
    this.opened.catch(() => {}); // Whoever wants to know waits for it.
  }

  /** Hands out nothing more from now on. */
  close(): void {
    this.#ended.abort();
    this.#unlisten();
    this.#messages?.stop();
  }

  get #closed(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Makes consumers until one stands. */
  async #open(): Promise<number> {
    for (;;) {
      const generation = ++this.#generation;
      this.#delivered = 0;
      const { messages, waiting } = await untilReached(this.#ended.signal, () => this.#consume(generation));
      if (this.#closed || generation !== this.#generation) {
        messages.stop();
        if (this.#closed) return 0;
        continue;
      }
      this.#messages = messages;
      void this.#watch(messages, generation);
      return waiting;
    }
  }

  async #consume(generation: number) {
    const { stream, ahead = FETCH_MESSAGES_DEFAULT } = this.#options;
    const jsm = await this.#nc.jetstreamManager({ checkAPI: false });
    const info = await jsm.consumers.add(stream, this.#config());
    const messages = await this.#nc
      .jetstream()
      .consumers.getPullConsumerFor(info)
      .consume({
        max_messages: ahead,
        expires: CONSUMER_EXPIRES_MS,
        idle_heartbeat: CONSUMER_HEARTBEAT_MS,
        callback: (message) => this.#received(message, generation),
      });
    return { messages, waiting: info.num_pending };
  }

  #config() {
    const { subject } = this.#options;
    return {
      name: nuid.next(),
      ack_policy: AckPolicy.None,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(CONSUMER_IDLE_MS),
      ...(this.#next === "latest"
        ? { deliver_policy: DeliverPolicy.LastPerSubject, filter_subject: subject ?? ">" }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: this.#next }),
      ...(subject !== undefined && { filter_subject: subject }),
    };
  }

  #received(raw: ConsumerMessage, generation: number): void {
    if (this.#closed || generation !== this.#generation) return;
    const message = delivered(raw);
    if (message.deliverySequence !== ++this.#delivered) {
      this.#lost(generation);
      return;
    }
    this.#next = message.sequence + 1;
    this.#options.onMessage(message);
  }

  async #watch(messages: ConsumerMessages, generation: number): Promise<void> {
    for await (const { type } of await messages.status()) if (LOST.has(type)) this.#lost(generation);
  }

  #lost(generation: number): void {
    if (this.#closed || generation !== this.#generation) return;
    this.#generation++;
    if (this.#messages === undefined) return; // It is being opened, and sees that it has to be again.
    this.#messages.stop();
    this.#messages = undefined;
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    while (!this.#closed && !this.#nc.isClosed()) {
      try {
        await this.#open();
        return;
      } catch {
        // The stream may be there again later. Whoever needs it to be notices by other means.
        await delay(BUS_RETRY_MS_MAX, undefined, { ref: false });
      }
    }
  }
}

/** What wants to know that a connection was lost and is there again: one listener for each connection. */
const listeners = new WeakMap<NatsConnection, Set<() => void>>();

/** Calls back after every reconnect, until the returned function is called. */
function onReconnect(nc: NatsConnection, callback: () => void): () => void {
  let callbacks = listeners.get(nc);
  if (callbacks === undefined) {
    callbacks = new Set();
    listeners.set(nc, callbacks);
    void listen(nc, callbacks);
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

async function listen(nc: NatsConnection, callbacks: ReadonlySet<() => void>): Promise<void> {
  for await (const { type } of nc.status()) {
    if (type === "reconnect") for (const callback of [...callbacks]) callback();
  }
}
