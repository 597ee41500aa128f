/**
 * Reads what its federation stream has for one destination, from a sequence on.
 *
 * It reads message by message, without a consumer: a user who may create consumers may also choose where they deliver, even
 * into the log on a broker of one account, so the user of federation senders may not create any (`nats.conf`). A subscription
 * says that something new is coming; where senders read a mirror, it has that a moment later. What the subscription misses
 * while the connection is lost is found by polling.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FEDERATION_POLL_MS_MAX } from "../../limits.ts";
import type { ServerName } from "../../matrix/ids.ts";
import type { ReceiptEdu } from "../../matrix/receipt-edu.ts";
import type { Bus } from "../client/connection.ts";
import type { StoredMessage } from "../client/delivered.ts";
import { nextMessage } from "../client/jetstream.ts";
import { BUS_RETRY_MS_MIN } from "../client/retry.ts";
import { type LastingSubscription, subscribe } from "../client/subscribe.ts";
import { decodeMessage, MESSAGES } from "../contract/messages.ts";
import { federationStream, federationSubject, type Subject, shardOf } from "../contract/subjects.ts";

/** In place of a message that can't be read, or is of another version. */
const NOTHING: ReceiptEdu = { edu_type: "m.receipt", content: {} };

interface FederationReaderOptions {
  readonly destination: ServerName;
  /** The shard count of the broker. */
  readonly shards: number;
  /** The first sequence to read. */
  readonly from: number;
  /** Called for each EDU. `last` is true when the stream has no further one at the moment. */
  readonly onEdu: (edu: ReceiptEdu, sequence: number, last: boolean) => void;
}

/** Where a destination's EDUs are. */
interface Place {
  readonly stream: string;
  readonly subject: Subject;
}

function placeOf({ destination, shards }: FederationReaderOptions): Place {
  const shard = shardOf(destination, shards);
  return { stream: federationStream(shard), subject: federationSubject(shard, destination) };
}

export class FederationReader {
  /** Whether the stream had nothing to read when this was opened. */
  readonly empty: boolean;
  readonly #nc: Bus;
  readonly #place: Place;
  readonly #subscription: LastingSubscription;
  readonly #onEdu: FederationReaderOptions["onEdu"];
  readonly #closing = new AbortController();
  /** Aborted when the subscription has received something. */
  #news = new AbortController();

  private constructor(nc: Bus, subscription: LastingSubscription, options: FederationReaderOptions, empty: boolean) {
    this.#nc = nc;
    this.#place = placeOf(options);
    this.#subscription = subscription;
    this.#onEdu = options.onEdu;
    this.empty = empty;
  }

  /** Starts reading; goes on with what is published, across lost connections, until it is closed. */
  static async open(nc: Bus, options: FederationReaderOptions): Promise<FederationReader> {
    const { stream, subject } = placeOf(options);
    let onNews = () => {};
    // Subscribes before the first read, so that nothing is missed in between.
    const subscription = subscribe(nc, subject, { onMessage: () => onNews() });
    try {
      const first = await nextMessage(nc, stream, { subject, from: options.from });
      const reader = new FederationReader(nc, subscription, options, first === undefined);
      onNews = () => reader.#news.abort();
      void reader.#run(first, options.from);
      return reader;
    } catch (error) {
      subscription.unsubscribe();
      throw error;
    }
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#subscription.unsubscribe();
  }

  async #run(first: StoredMessage | undefined, from: number): Promise<void> {
    let message = first ?? (await this.#next(from));
    while (message !== undefined) {
      const following: StoredMessage | undefined = await this.#read(message.sequence + 1);
      if (this.#closing.signal.aborted) return;
      const edu = eduIn(message.data);
      this.#onEdu(edu, message.sequence, following === undefined);
      message = following ?? (await this.#next(message.sequence + 1));
    }
  }

  /** Waits for the first message from a sequence on; undefined once this is closed. */
  async #next(from: number): Promise<StoredMessage | undefined> {
    for (let pauseMs = BUS_RETRY_MS_MIN; !this.#closing.signal.aborted; ) {
      const message = await this.#read(from);
      if (message !== undefined) return message;
      const { signal } = this.#news;
      await this.#pause(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, FEDERATION_POLL_MS_MAX);
      if (!signal.aborted) continue;
      // The subscription may receive a message before the stream has stored it.
      this.#news = new AbortController();
      pauseMs = BUS_RETRY_MS_MIN;
    }
    return undefined;
  }

  /** The first message from a sequence on, if there is one now. Retries while the broker can't be reached. */
  async #read(from: number): Promise<StoredMessage | undefined> {
    for (
      let pauseMs = BUS_RETRY_MS_MIN;
      !this.#closing.signal.aborted;
      pauseMs = Math.min(2 * pauseMs, FEDERATION_POLL_MS_MAX)
    ) {
      try {
        const { stream, subject } = this.#place;
        return await nextMessage(this.#nc, stream, { subject, from });
      } catch {
        await this.#pause(pauseMs);
      }
    }
    return undefined;
  }

  async #pause(ms: number, news?: AbortSignal): Promise<void> {
    const signal = news === undefined ? this.#closing.signal : AbortSignal.any([news, this.#closing.signal]);
    await delay(ms, undefined, { signal }).catch(() => {});
  }
}

function eduIn(bytes: Uint8Array): ReceiptEdu {
  try {
    // Anybody who may publish there can write something else, and a sender passes it on to other servers.
    return MESSAGES.federation.schema.safeParse(decodeMessage("federation", bytes)).data?.edu ?? NOTHING;
  } catch {
    return NOTHING;
  }
}
