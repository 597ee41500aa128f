/**
 * Reads what the federation stream has for one destination, from a sequence on.
 *
 * It reads message by message, without a consumer: a user who may create consumers may also choose where they deliver, even
 * into the log, so the user of federation senders may not create any (`nats.conf`). A subscription says that something new
 * is coming. What it misses while the connection is lost is found by polling.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FEDERATION_POLL_MS_MAX } from "../../limits.ts";
import type { ServerName } from "../../matrix/ids.ts";
import type { ReceiptEdu } from "../../matrix/receipt-edu.ts";
import type { Bus, BusSubscription } from "../client/connection.ts";
import type { StoredMessage } from "../client/delivered.ts";
import { nextMessage } from "../client/jetstream.ts";
import { BUS_RETRY_MS_MIN } from "../client/retry.ts";
import { decodeMessage } from "../contract/messages.ts";
import { FEDERATION_STREAM, federationSubject, type Subject } from "../contract/subjects.ts";

/** In place of a message of another version. */
const NOTHING: ReceiptEdu = { edu_type: "m.receipt", content: {} };

interface FederationReaderOptions {
  readonly destination: ServerName;
  /** The first sequence to read. */
  readonly from: number;
  /** Called for each EDU. `last` is true when the stream has no further one at the moment. */
  readonly onEdu: (edu: ReceiptEdu, sequence: number, last: boolean) => void;
}

export class FederationReader {
  /** Whether the stream had nothing to read when this was opened. */
  readonly empty: boolean;
  readonly #nc: Bus;
  readonly #subject: Subject;
  readonly #subscription: BusSubscription;
  readonly #onEdu: FederationReaderOptions["onEdu"];
  readonly #closing = new AbortController();
  /** Aborted when the subscription has received something. */
  #news = new AbortController();

  private constructor(nc: Bus, subscription: BusSubscription, options: FederationReaderOptions, empty: boolean) {
    this.#nc = nc;
    this.#subject = federationSubject(options.destination);
    this.#subscription = subscription;
    this.#onEdu = options.onEdu;
    this.empty = empty;
  }

  /** Starts reading; goes on with what is published, across lost connections, until it is closed. */
  static async open(nc: Bus, options: FederationReaderOptions): Promise<FederationReader> {
    const subject = federationSubject(options.destination);
    let onNews = () => {};
    // Subscribes before the first read, so that nothing is missed in between.
    const subscription = nc.subscribe(subject, { callback: () => onNews() });
    try {
      const first = await nextMessage(nc, FEDERATION_STREAM, { subject, from: options.from });
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
      const edu = decodeMessage("federation", message.data)?.edu ?? NOTHING;
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
        return await nextMessage(this.#nc, FEDERATION_STREAM, { subject: this.#subject, from });
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
