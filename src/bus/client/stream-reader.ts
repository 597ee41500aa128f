/**
 * Reads a stream in order and without holes, from a sequence on, and goes on with new messages until it is closed.
 *
 *     opening ──▶ reading ──(a message lost, a reconnect, heartbeats missed, the consumer gone)──▶ opening, where it stopped
 *                    └──────(a message out of order)──▶ asking the leader ──▶ opening, or the stream has a hole
 *
 * The consumer acknowledges nothing and lives in the broker's memory. When it is lost, another one goes on. The client
 * library's ordered consumer does that, too, but notices a loss only by the next message: messages that were on their way when
 * the connection broke are delivered as far as the broker knows, and when no other follows, nobody misses them. So this reader
 * makes another consumer after every reconnect.
 *
 * A consumer that is no longer used is not deleted here: the broker removes it after a while, and not every user may.
 */
import { setTimeout as delay } from "node:timers/promises";
import { AckPolicy, ConsumerEvents, type ConsumerMessages, DeliverPolicy, nanos, nuid } from "nats";
import type { Bus } from "./connection.ts";
import { type ConsumerMessage, type Delivered, delivered } from "./delivered.ts";
import { manager } from "./jetstream.ts";
import { isMisplaced, leaderAgrees, type Misplaced, streamEnd } from "./leader-check.ts";
import { BUS_RETRY_MS_MAX, untilReached } from "./retry.ts";

/** Messages that a reader requests ahead. */
const FETCH_MESSAGES_DEFAULT = 128;

/** A consumer whose broker is gone is noticed after two missed heartbeats, or when its request expires. */
const CONSUMER_HEARTBEAT_MS = 1_000;
const CONSUMER_EXPIRES_MS = 2_000;

/** The broker removes a consumer without requests after this time. */
const CONSUMER_IDLE_MS = 10_000;

/** The pause before a consumer that delivered something out of order is replaced: its broker may need a while. */
const BAD_CONSUMER_PAUSE_MS = 500;

interface StreamReaderOptions {
  readonly stream: string;
  /** The first sequence. `latest`: begins with the newest message of each subject. */
  readonly from: number | "latest";
  /** Only messages of this subject. */
  readonly subject?: string;
  /** How many messages are requested ahead. Default: `FETCH_MESSAGES_DEFAULT`. */
  readonly ahead?: number;
  /** Called for each message, in order. Must not throw. */
  readonly onMessage: (message: Delivered) => void;
  /**
   * For a stream without holes that is read without `subject`: called when the stream's leader confirms that the expected
   * message is missing. The reader is closed then.
   */
  readonly onHole?: (hole: Misplaced) => void;
}

const LOST: ReadonlySet<unknown> = new Set([
  ConsumerEvents.HeartbeatsMissed,
  ConsumerEvents.ConsumerNotFound,
  ConsumerEvents.ConsumerDeleted,
  ConsumerEvents.StreamNotFound,
  ConsumerEvents.NoResponders,
]);

export class StreamReader {
  /** Resolves to the number of messages that were there at the start. Rejects when the stream doesn't exist or may not be read. */
  readonly opened: Promise<number>;
  readonly #nc: Bus;
  readonly #options: StreamReaderOptions;
  readonly #ended = new AbortController();
  readonly #unlisten: () => void;
  #next: number | "latest";
  #messages: ConsumerMessages | undefined;
  /** Counts consumers: what an earlier one still delivers is ignored. */
  #generation = 0;
  #delivered = 0;
  /** Never rejects. The next consumer is opened after it. */
  #examined: Promise<void> | undefined;

  /** Retries transient failures while it opens, and failures of any kind later. */
  constructor(nc: Bus, options: StreamReaderOptions) {
    this.#nc = nc;
    this.#options = options;
    this.#next = options.from;
    this.#unlisten = onReconnect(nc, () => this.#lost(this.#generation));
    this.opened = this.#open();
    this.opened.catch(() => {}); // The caller may ignore it.
  }

  /** No callback is called after this. */
  close(): void {
    this.#ended.abort();
    this.#unlisten();
    this.#messages?.stop();
  }

  get #closed(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Makes consumers until one is not lost before it is ready. */
  async #open(): Promise<number> {
    for (;;) {
      await this.#examined;
      this.#examined = undefined;
      if (this.#closed) return 0;
      const generation = ++this.#generation;
      this.#delivered = 0;
      const { messages, waiting, start } = await untilReached(this.#ended.signal, () => this.#consume(generation));
      if (this.#closed || generation !== this.#generation) {
        messages.stop();
        if (this.#closed) return 0;
        continue;
      }
      if (this.#next !== "latest" && start < this.#next) {
        messages.stop();
        this.#examined = this.#examine({ expected: this.#next, found: start });
        continue;
      }
      this.#messages = messages;
      void this.#watch(messages, generation);
      return waiting;
    }
  }

  async #consume(generation: number) {
    const { stream, ahead = FETCH_MESSAGES_DEFAULT } = this.#options;
    const jsm = await manager(this.#nc);
    const info = await jsm.consumers.add(stream, this.#config());
    const waiting = info.num_pending;
    const from = this.#next === "latest" ? 1 : this.#next;
    const end = await streamEnd(this.#nc, stream, { waiting, from });
    // Last of all: what fails after it would leave behind requests for messages that nobody takes.
    const messages = await this.#nc
      .jetstream()
      .consumers.getPullConsumerFor(info)
      .consume({
        max_messages: ahead,
        expires: CONSUMER_EXPIRES_MS,
        idle_heartbeat: CONSUMER_HEARTBEAT_MS,
        callback: (message) => this.#received(message, generation),
      });
    return { messages, waiting, start: Math.min(info.delivered.stream_seq + 1, end) };
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
    const place = this.#next === "latest" ? undefined : { expected: this.#next, found: message.sequence };
    if (place !== undefined && isMisplaced(place, this.#options.onHole !== undefined)) {
      this.#examined = this.#examine(place);
      this.#lost(generation);
      return;
    }
    this.#next = message.sequence + 1;
    this.#options.onMessage(message);
  }

  async #examine(place: Misplaced): Promise<void> {
    const { stream, onHole } = this.#options;
    // A leader that can't be asked now is asked about what the next consumer delivers.
    const agrees = await leaderAgrees(this.#nc, stream, place).catch(() => false);
    if (this.#closed) return;
    if (!agrees) {
      await delay(BAD_CONSUMER_PAUSE_MS, undefined, { ref: false });
    } else if (onHole === undefined) {
      // The stream is another one, or lost its end: it is read from its beginning, and what to do is up to the caller.
      this.#next = place.found < place.expected ? 1 : place.found;
    } else {
      this.close();
      onHole(place);
    }
  }

  async #watch(messages: ConsumerMessages, generation: number): Promise<void> {
    for await (const { type } of await messages.status()) if (LOST.has(type)) this.#lost(generation);
  }

  #lost(generation: number): void {
    if (this.#closed || generation !== this.#generation) return;
    this.#generation++;
    if (this.#messages === undefined) return; // `#open` is running, and notices the new generation.
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
        // The stream may exist again later. A caller that needs it notices by other means.
        await delay(BUS_RETRY_MS_MAX, undefined, { ref: false });
      }
    }
  }
}

/** Called after a reconnect. There is one status listener per connection, not one per reader. */
const listeners = new WeakMap<Bus, Set<() => void>>();

/** Calls back after every reconnect, until the returned function is called. */
function onReconnect(nc: Bus, callback: () => void): () => void {
  let callbacks = listeners.get(nc);
  if (callbacks === undefined) {
    callbacks = new Set();
    listeners.set(nc, callbacks);
    void listen(nc, callbacks);
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

async function listen(nc: Bus, callbacks: ReadonlySet<() => void>): Promise<void> {
  for await (const { type } of nc.status()) {
    if (type === "reconnect") for (const callback of [...callbacks]) callback();
  }
}
