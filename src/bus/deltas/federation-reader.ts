/**
 * Reads what the federation stream has for one destination, from a sequence on.
 *
 * Message by message, and without a consumer: who may make consumers may also say where they deliver, the log included,
 * so the user of federation senders may not (`nats.conf`). A subscription tells that something new is on its way; what it
 * misses while the connection is lost is found by looking now and then.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { JetStreamManager, MsgRequest, NatsConnection, StoredMsg, Subscription } from "nats";
import { BUS_RETRY_MS_MIN, FEDERATION_POLL_MS_MAX } from "../../limits.ts";
import type { ServerName } from "../../matrix/ids.ts";
import type { ReceiptEdu } from "../../matrix/receipt-edu.ts";
import { isNotFound } from "../client/connection.ts";
import { decode } from "../contract/codec.ts";
import { FEDERATION_STREAM, federationSubject, type Subject } from "../contract/subjects.ts";

interface FederationReaderOptions {
  readonly destination: ServerName;
  /** The first sequence to read. */
  readonly from: number;
  /** An EDU, its sequence, and whether the stream has nothing more for now. */
  readonly onEdu: (edu: ReceiptEdu, sequence: number, last: boolean) => void;
}

export class FederationReader {
  /** Whether there was nothing to read at first. */
  readonly empty: boolean;
  readonly #jsm: JetStreamManager;
  readonly #subject: Subject;
  readonly #subscription: Subscription;
  readonly #onEdu: FederationReaderOptions["onEdu"];
  readonly #closing = new AbortController();
  #news = new AbortController();

  private constructor(
    jsm: JetStreamManager,
    subscription: Subscription,
    options: FederationReaderOptions,
    empty: boolean,
  ) {
    this.#jsm = jsm;
    this.#subject = federationSubject(options.destination);
    this.#subscription = subscription;
    this.#onEdu = options.onEdu;
    this.empty = empty;
  }

  /** Begins; goes on with what is published, across lost connections, until it is closed. */
  static async open(nc: NatsConnection, options: FederationReaderOptions): Promise<FederationReader> {
    const subject = federationSubject(options.destination);
    let heard = () => {};
    // Before the first look, so that nothing comes in between.
    const subscription = nc.subscribe(subject, { callback: () => heard() });
    try {
      const jsm = await nc.jetstreamManager({ checkAPI: false });
      const first = await messageAt(jsm, subject, options.from);
      const reader = new FederationReader(jsm, subscription, options, first === undefined);
      heard = () => reader.#news.abort();
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

  async #run(first: StoredMsg | undefined, from: number): Promise<void> {
    let message = first ?? (await this.#next(from));
    while (message !== undefined) {
      const following: StoredMsg | undefined = await this.#look(message.seq + 1);
      if (this.#closing.signal.aborted) return;
      const { edu } = decode(message.data) as { readonly edu: ReceiptEdu };
      this.#onEdu(edu, message.seq, following === undefined);
      message = following ?? (await this.#next(message.seq + 1));
    }
  }

  /** The first message from a sequence on, whenever it comes; undefined once this is closed. */
  async #next(from: number): Promise<StoredMsg | undefined> {
    for (let pauseMs = BUS_RETRY_MS_MIN; !this.#closing.signal.aborted; ) {
      const message = await this.#look(from);
      if (message !== undefined) return message;
      const { signal } = this.#news;
      await this.#pause(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, FEDERATION_POLL_MS_MAX);
      if (!signal.aborted) continue;
      // It may be heard before it is stored.
      this.#news = new AbortController();
      pauseMs = BUS_RETRY_MS_MIN;
    }
    return undefined;
  }

  /** What is there now. While the broker can't be reached, it waits. */
  async #look(from: number): Promise<StoredMsg | undefined> {
    for (
      let pauseMs = BUS_RETRY_MS_MIN;
      !this.#closing.signal.aborted;
      pauseMs = Math.min(2 * pauseMs, FEDERATION_POLL_MS_MAX)
    ) {
      try {
        return await messageAt(this.#jsm, this.#subject, from);
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

/** The first one of a subject from a sequence on; undefined when there is none. */
async function messageAt(jsm: JetStreamManager, subject: Subject, seq: number): Promise<StoredMsg | undefined> {
  try {
    // The type of this request is that of direct ones only; the server takes it for both.
    const request = { seq, next_by_subj: subject } as unknown as MsgRequest;
    return await jsm.streams.getMessage(FEDERATION_STREAM, request);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
