/**
 * Which transactions of homeservers were stored, for all gateways and across restarts.
 *
 * A transaction that is not in here is delivered again, which changes nothing. So a gateway may die between storing a
 * transaction and adding it here. The row of a transaction is the fingerprint of its content: a homeserver that was set up
 * again counts its transactions from 1 again, with other contents.
 */
import { createHash } from "node:crypto";
import type { Bus } from "./client/connection.ts";
import { type Bucket, openBucket } from "./client/kv.ts";
import { TRANSACTIONS_BUCKET } from "./contract/subjects.ts";

export class DeliveredTransactions {
  readonly #bucket: Bucket;
  /** Part of each key, so that homeservers share the bucket. */
  readonly #homeserver: string;

  private constructor(bucket: Bucket, homeserver: string) {
    this.#bucket = bucket;
    this.#homeserver = homeserver;
  }

  /** Throws `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  static async open(nc: Bus, hsToken: string): Promise<DeliveredTransactions> {
    return new DeliveredTransactions(await openBucket(nc, TRANSACTIONS_BUCKET), homeserverKey(hsToken));
  }

  async has(transaction: string, fingerprint: string): Promise<boolean> {
    return (await this.#bucket.get(this.#key(transaction))) === fingerprint;
  }

  async add(transaction: string, fingerprint: string): Promise<void> {
    await this.#bucket.put(this.#key(transaction), fingerprint);
  }

  #key(transaction: string): string {
    return `${this.#homeserver}.${digest(transaction)}`;
  }
}

/** Which homeserver has this token, as a part of keys. */
export function homeserverKey(hsToken: string): string {
  return digest(hsToken);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
