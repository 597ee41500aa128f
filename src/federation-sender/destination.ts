/**
 * A durable reader of the receipts for one server.
 *
 *     stream ──▶ pending, coalesced ──next()──▶ transaction ──▶ the sender ──acknowledge()──▶ cursor
 *                    ▲                                             │
 *                    └── next() again, with receipts since then ◀──┘ sending failed; the sender chooses the backoff
 *
 * It reads to the end of the stream before it returns the first transaction, so that receipts coalesce. With `pendingMax`
 * receipts in memory it stops reading until some are acknowledged. Unacknowledged receipts are never lost: the next call
 * returns them again, and so does the next process.
 */
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Bus, translate } from "../bus/client/connection.ts";
import type { FederationCursors } from "../bus/deltas/federation-cursors.ts";
import { FederationReader } from "../bus/deltas/federation-reader.ts";
import type { ServerName } from "../matrix/ids.ts";
import type { ReceiptEdu } from "../matrix/receipt-edu.ts";
import { type Load, PendingReceipts } from "./pending.ts";

/** The content of one `PUT /_matrix/federation/v1/send/{txnId}`. */
export interface Transaction {
  /** A digest of the EDUs: a repeated transaction has the same id. */
  readonly id: string;
  /** At most 100 EDUs (Matrix specification, server-server API, "Transactions"). */
  readonly edus: readonly ReceiptEdu[];
  /** Call it once the server has accepted the transaction. After it resolves, these receipts are not returned again. */
  acknowledge(): Promise<void>;
}

interface DestinationOptions {
  readonly nc: Bus;
  readonly cursors: FederationCursors;
  /** The shard count of the broker. */
  readonly shards: number;
  readonly server: ServerName;
  /** The most receipts in memory; reading pauses there. */
  readonly pendingMax: number;
  readonly closed: (destination: Destination) => void;
}

export class Destination implements Disposable {
  readonly server: ServerName;
  readonly #nc: Bus;
  readonly #cursors: FederationCursors;
  readonly #shards: number;
  readonly #pendingMax: number;
  readonly #onClosed: (destination: Destination) => void;
  readonly #pending = new PendingReceipts();
  #reader: FederationReader | undefined;
  /** The last stream sequence that was read. */
  #read = 0;
  #cursor = 0;
  /** Whether the stream has been read to its end. */
  #caughtUp = false;
  #closed = false;
  #changed: (() => void) | undefined;

  private constructor({ nc, cursors, shards, server, pendingMax, closed }: DestinationOptions) {
    this.#nc = nc;
    this.#cursors = cursors;
    this.#shards = shards;
    this.server = server;
    this.#pendingMax = pendingMax;
    this.#onClosed = closed;
  }

  /**
   * Starts where the last reader of this destination stopped.
   * @internal
   */
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
   * Resolves to a transaction as soon as there is something to send; to undefined once the reader is closed or `signal`
   * aborts. Without an acknowledgement, the next call returns those receipts again, or later ones that replaced them.
   */
  async next(signal?: AbortSignal): Promise<Transaction | undefined> {
    for (;;) {
      if (this.#closed || signal?.aborted) return undefined;
      if (this.#pending.size > 0 && (this.#caughtUp || this.#full)) {
        const load = await this.#pending.load();
        if (this.#closed || signal?.aborted) return undefined;
        return await this.#transaction(load);
      }
      await this.#change(signal);
    }
  }

  /** Stops reading. A pending `next` resolves to undefined. */
  close(): void {
    this.#closed = true;
    this.#reader?.close();
    this.#changed?.();
    this.#onClosed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #full(): boolean {
    return this.#pending.size >= this.#pendingMax;
  }

  async #transaction(load: Load): Promise<Transaction> {
    const { edus } = load;
    return {
      id: await idOf(edus),
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

  /** Reads on, in the background. */
  async #resume(): Promise<void> {
    const reader = await FederationReader.open(this.#nc, {
      destination: this.server,
      shards: this.#shards,
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

/** The same for the same content: a receiver that has it takes it for a retry. */
async function idOf(edus: readonly ReceiptEdu[]): Promise<string> {
  const hash = createHash("sha256");
  for (const edu of edus) {
    hash.update(`${JSON.stringify(edu)}\n`);
    await nextTurn();
  }
  return hash.digest("base64url");
}
