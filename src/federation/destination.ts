/**
 * A durable reader of what goes to one server.
 *
 *     stream ──▶ pending, coalesced ──next()──▶ transaction ──▶ the sender ──acknowledge()──▶ cursor
 *                    ▲                                             │
 *                    └──────── next() again, with what came since ◀┘ it failed: after whatever pause the sender takes
 *
 * It reads all there is before it hands anything out, as long as that fits into memory (`pendingMax` receipts): beyond
 * that it stops reading until something is acknowledged. A transaction that is not acknowledged is
 * not lost, whether the sender asks again, or ends and another takes over.
 */
import { createHash } from "node:crypto";
import { type ConsumerMessages, DeliverPolicy } from "nats";
import { decode } from "../bus/codec.ts";
import { type Bus, translate } from "../bus/connection.ts";
import { FEDERATION_STREAM, federationSubject } from "../bus/subjects.ts";
import { FEDERATION_FETCH_MAX } from "../limits.ts";
import type { ServerName } from "../matrix/ids.ts";
import type { ReceiptEdu } from "../matrix/receipt-edu.ts";
import type { Cursors } from "./cursors.ts";
import { type Load, PendingReceipts } from "./pending.ts";

/** What goes to a server in one `PUT /_matrix/federation/v1/send/{txnId}`. */
export interface Transaction {
  /** The same for the same content. */
  readonly id: string;
  /** At most 100 EDUs (Matrix specification, server-server API, "Transactions"). */
  readonly edus: readonly ReceiptEdu[];
  /** To be called when the server has taken it. Resolves when it will not come again. */
  acknowledge(): Promise<void>;
}

interface DestinationOptions {
  readonly nc: Bus;
  readonly cursors: Cursors;
  readonly server: ServerName;
  /** Receipts that are kept in memory; then reading pauses. */
  readonly pendingMax: number;
}

export class Destination {
  readonly server: ServerName;
  readonly #nc: Bus;
  readonly #cursors: Cursors;
  readonly #pendingMax: number;
  readonly #pending = new PendingReceipts();
  #messages: ConsumerMessages | undefined;
  /** The sequence through which the stream is read. */
  #read = 0;
  #cursor = 0;
  /** Whether everything that the stream has is read. */
  #caughtUp = false;
  #closed = false;
  #changed: (() => void) | undefined;
  #failure: unknown;

  private constructor({ nc, cursors, server, pendingMax }: DestinationOptions) {
    this.#nc = nc;
    this.#cursors = cursors;
    this.server = server;
    this.#pendingMax = pendingMax;
  }

  /** Goes on where the last reader of this destination was. One at a time: two would send everything twice. */
  static async open(options: DestinationOptions): Promise<Destination> {
    const destination = new Destination(options);
    try {
      destination.#cursor = destination.#read = await options.cursors.get(options.server);
      await destination.#resume();
    } catch (error) {
      throw translate(error, `read what goes to ${options.server}`);
    }
    return destination;
  }

  /**
   * What there is to send; resolves as soon as there is anything, to undefined when the reader is closed or `signal`
   * aborts. Without an acknowledgement, the next call brings the same again, with what came since.
   */
  async next(signal?: AbortSignal): Promise<Transaction | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw translate(this.#failure, `read what goes to ${this.server}`);
      if (this.#closed || signal?.aborted) return undefined;
      if (this.#pending.size > 0 && (this.#caughtUp || this.#full)) return this.#transaction(this.#pending.load());
      await this.#change(signal);
    }
  }

  close(): void {
    this.#closed = true;
    this.#messages?.stop();
    this.#changed?.();
  }

  get #full(): boolean {
    return this.#pending.size >= this.#pendingMax;
  }

  #transaction(load: Load): Transaction {
    const { edus } = load;
    return {
      id: createHash("sha256").update(JSON.stringify(edus)).digest("base64url"),
      edus,
      acknowledge: async () => {
        this.#pending.settle(load);
        await this.#save();
        if (this.#messages === undefined && !this.#full && !this.#closed) await this.#resume();
      },
    };
  }

  async #save(): Promise<void> {
    const oldest = this.#pending.oldest();
    const cursor = oldest === undefined ? this.#read : oldest - 1;
    if (cursor <= this.#cursor) return;
    this.#cursor = cursor;
    try {
      await this.#cursors.put(this.server, cursor);
    } catch (error) {
      throw translate(error, `remember what went to ${this.server}`);
    }
  }

  /** Reads from where it stopped, in the background. */
  async #resume(): Promise<void> {
    const consumer = await this.#nc.jetstream().consumers.get(FEDERATION_STREAM, {
      filterSubjects: federationSubject(this.server),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#read + 1,
    });
    const { num_pending: waiting } = await consumer.info();
    this.#caughtUp = waiting === 0;
    this.#messages = await consumer.consume({ max_messages: FEDERATION_FETCH_MAX });
    this.#readAll(this.#messages).catch((error) => {
      this.#failure = error;
      this.#changed?.();
    });
  }

  async #readAll(messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      const { edu } = decode(message.data) as { readonly edu: ReceiptEdu };
      this.#pending.add(edu, message.seq);
      this.#read = message.seq;
      this.#caughtUp = message.info.pending === 0;
      this.#changed?.();
      if (this.#full) {
        this.#messages = undefined;
        messages.stop();
        return;
      }
    }
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal?.removeEventListener("abort", done);
        this.#changed = undefined;
        resolve();
      };
      this.#changed = done;
      signal?.addEventListener("abort", done);
    });
  }
}
