/**
 * Which transactions were taken, for all gateways and across restarts.
 *
 * A transaction that is not here is delivered (again), which changes nothing: so a gateway that dies between storing and
 * remembering does no harm. What stands here is its content's fingerprint: a homeserver that was set up anew counts its
 * transactions from 1 again, and those are others.
 */
import { createHash } from "node:crypto";
import type { KV } from "nats";
import { type Bus, translate } from "./client/connection.ts";
import { bindBucket } from "./client/streams.ts";
import { TRANSACTIONS_BUCKET } from "./contract/subjects.ts";

export class DeliveredTransactions {
  readonly #bucket: KV;
  /** Tells the transactions of this homeserver from others'. */
  readonly #homeserver: string;

  private constructor(bucket: KV, homeserver: string) {
    this.#bucket = bucket;
    this.#homeserver = homeserver;
  }

  static async open(nc: Bus, hsToken: string): Promise<DeliveredTransactions> {
    try {
      return new DeliveredTransactions(await bindBucket(nc, TRANSACTIONS_BUCKET), digest(hsToken));
    } catch (error) {
      throw translate(error, "remember transactions");
    }
  }

  async has(transaction: string, fingerprint: string): Promise<boolean> {
    try {
      return (await this.#bucket.get(this.#key(transaction)))?.string() === fingerprint;
    } catch (error) {
      throw translate(error, "look a transaction up");
    }
  }

  async add(transaction: string, fingerprint: string): Promise<void> {
    try {
      await this.#bucket.put(this.#key(transaction), fingerprint);
    } catch (error) {
      throw translate(error, "remember a transaction");
    }
  }

  #key(transaction: string): string {
    return `${this.#homeserver}.${digest(transaction)}`;
  }
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
