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
import { type Bus, translate } from "../bus/client/connection.ts";
import type { FederationCursors } from "../bus/deltas/federation-cursors.ts";
import { FederationReader } from "../bus/deltas/federation-reader.ts";
import type { ServerName } from "../matrix/ids.ts";
import type { ReceiptEdu } from "../matrix/receipt-edu.ts";
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
  readonly cursors: FederationCursors;
  readonly server: ServerName;
  /** Receipts that are kept in memory; then reading pauses. */
  readonly pendingMax: number;
}

export class Destination {
  readonly server: ServerName;
  readonly #nc: Bus;
  readonly #cursors: FederationCursors;
  readonly #pendingMax: number;
  readonly #pending = new PendingReceipts();
  #reader: FederationReader | undefined;
  /** The sequence through which the stream is read. */
  #read = 0;
  #cursor = 0;
  /** Whether everything that the stream has is read. */
  #caughtUp = false;
  #closed = false;
  #changed: (() => void) | undefined;

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
      if (this.#closed || signal?.aborted) return undefined;
      if (this.#pending.size > 0 && (this.#caughtUp || this.#full)) return this.#transaction(this.#pending.load());
      await this.#change(signal);
    }
  }

  close(): void {
    this.#closed = true;
    this.#reader?.close();
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
        if (this.#reader === undefined && !this.#full && !this.#closed) await this.#resume();
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
    const reader = await FederationReader.open(this.#nc, {
      destination: this.server,
      from: this.#read + 1,
      onEdu: (edu, sequence, last) => this.#take(edu, sequence, last),
    });
    if (reader.empty) this.#caughtUp = true;
    if (this.#closed || this.#full) reader.close();
    else this.#reader = reader;
  }

  #take(edu: ReceiptEdu, sequence: number, last: boolean): void {
    if (this.#closed || this.#full) return;
    this.#pending.add(edu, sequence);
    this.#read = sequence;
    this.#caughtUp = last;
    if (this.#full) {
      this.#reader?.close();
      this.#reader = undefined;
    }
    this.#changed?.();
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
