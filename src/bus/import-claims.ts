/**
 * Which process imports a room now, so that of several proxies only one asks the homeserver for it.
 *
 * A claim spares work and keeps nothing correct: two imports of a room at once store the same. Its row is renewed while the import
 * runs. Another process that sees it unchanged for long enough, on its own monotonic clock, takes it over.
 */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { IMPORT_CLAIM_MS, IMPORTS_WAITING_MAX } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { Bus } from "./client/connection.ts";
import { type Bucket, openBucket } from "./client/kv.ts";
import { TRANSACTIONS_BUCKET } from "./contract/subjects.ts";

const RENEWALS_PER_CLAIM = 3;

interface Seen {
  readonly revision: number;
  /** `performance.now()` */
  readonly at: number;
}

export interface ImportClaim {
  release(): Promise<void>;
}

export class ImportClaims {
  readonly #bucket: Bucket;
  /** Other processes' claims. */
  readonly #seen = new LRUCache<string, Seen>({ max: IMPORTS_WAITING_MAX });
  readonly #claimMs: number;

  private constructor(bucket: Bucket, claimMs: number) {
    this.#bucket = bucket;
    this.#claimMs = claimMs;
  }

  /** Throws `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  static async open(nc: Bus, claimMs = IMPORT_CLAIM_MS): Promise<ImportClaims> {
    return new ImportClaims(await openBucket(nc, TRANSACTIONS_BUCKET), claimMs);
  }

  /** Returns undefined while another process imports the room. */
  async take(room: RoomId): Promise<ImportClaim | undefined> {
    const key = `import.${createHash("sha256").update(room).digest("hex")}`;
    const row = await this.#bucket.row(key);
    if (row !== undefined && !row.deleted && !this.#isOver(key, row.revision)) return undefined;
    const revision = await this.#bucket.putAfter(key, row?.revision ?? 0, "");
    return revision === undefined ? undefined : this.#hold(key, revision);
  }

  #isOver(key: string, revision: number): boolean {
    const now = performance.now();
    const seen = this.#seen.get(key);
    if (seen?.revision === revision) return now - seen.at >= this.#claimMs;
    this.#seen.set(key, { revision, at: now });
    return false;
  }

  #hold(key: string, taken: number): ImportClaim {
    let held: number | undefined = taken;
    // A renewal that fails is made up for by the next one.
    let write = Promise.resolve();
    const renew = async () => {
      if (held !== undefined) held = await this.#bucket.putAfter(key, held, "");
    };
    const timer = setInterval(() => {
      write = write.then(renew).catch(() => {});
    }, this.#claimMs / RENEWALS_PER_CLAIM);
    return {
      release: async () => {
        clearInterval(timer);
        await write;
        if (held !== undefined) await this.#bucket.deleteAfter(key, held);
      },
    };
  }
}
