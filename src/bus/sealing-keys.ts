/**
 * The keys with which gateways seal sync tokens (docs/design.md#sync-tokens). All gateways share them, through a bucket that only
 * they may read.
 *
 *     one row: the newest keys, the newest last     used to seal: the newest     used to open: all of them
 *
 * A row that is gone is written again by a gateway that knows the keys. A gateway adds a key when the newest is a day old, and the oldest goes when there are too many. A client whose token was
 * sealed with a key that is gone is told that it may have missed something; it gets no error.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { SEALING_KEY_AGE_MS, SEALING_KEYS_MAX } from "../limits.ts";
import type { Bus } from "./client/connection.ts";
import { type Bucket, openBucket } from "./client/kv.ts";
import { SEALING_KEYS_BUCKET } from "./contract/subjects.ts";

const ROW = "sync";
const KEY_BYTES = 32;
const ID_MAX = 2 ** 32;

/** How often a gateway checks whether a new key is due. */
const CHECK_MS = 600_000;
/** Tokens with unknown keys make a gateway read the keys again, at most this often: anybody can invent such a token. */
const REREAD_MS_MIN = 1_000;

/** 32 bytes in base64. */
const key = z.base64().length(44);
const stored = z.array(z.object({ id: z.int().min(0).lt(ID_MAX), key, madeAt: z.number() }));

export interface SealingKey {
  /** Part of each token; grows with each key. Below 2^32. */
  readonly id: number;
  /** 32 bytes. */
  readonly key: Buffer;
}

interface DatedKey extends SealingKey {
  /** Unix time in ms, by the clock of the gateway that made it. */
  readonly madeAt: number;
}

export class SealingKeys {
  readonly #bucket: Bucket;
  readonly #timer: NodeJS.Timeout;
  #keys: readonly DatedKey[] = [];
  /** When the newest key was first seen here, as a `performance.now()` time: a wrong clock elsewhere delays no key for ever. */
  #seenAt = 0;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
    this.#timer = setInterval(() => void this.#renew().catch(() => {}), CHECK_MS);
    this.#timer.unref();
  }

  /** Throws `BUS_UNAVAILABLE` when there is no such bucket yet. */
  static async open(nc: Bus): Promise<SealingKeys> {
    const keys = new SealingKeys(await openBucket(nc, SEALING_KEYS_BUCKET));
    await keys.#renew();
    return keys;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Seals. */
  get newest(): SealingKey {
    return this.#keys.at(-1)!;
  }

  /** Returns a promise only if the keys have to be read again; undefined for a key that doesn't exist any more, or never did. */
  find(id: number): SealingKey | undefined | Promise<SealingKey | undefined> {
    const known = this.#known(id);
    if (known !== undefined) return known;
    this.#reading ??= this.#readAgain().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading.then(() => this.#known(id));
  }

  /** Never rejects: a key that can't be read now isn't known. */
  async #readAgain(): Promise<void> {
    await delay(Math.max(0, this.#readAt + REREAD_MS_MIN - performance.now()), undefined, { ref: false });
    await this.#read().catch(() => {});
  }

  #known(id: number): SealingKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  /** Adds a key if the newest is too old. */
  async #renew(): Promise<void> {
    for (;;) {
      const revision = await this.#read();
      const newest = this.#keys.at(-1);
      if (newest !== undefined && !this.#isOld(newest)) return;
      const id = newest === undefined ? 0 : (newest.id + 1) % ID_MAX;
      const added = { id, key: randomBytes(KEY_BYTES), madeAt: Date.now() };
      const keys = [...this.#keys, added].slice(-SEALING_KEYS_MAX);
      await this.#bucket.putAfter(ROW, revision, textOf(keys)); // If another gateway was quicker, its key is read.
    }
  }

  #isOld({ madeAt }: DatedKey): boolean {
    return Date.now() - madeAt > SEALING_KEY_AGE_MS || performance.now() - this.#seenAt > SEALING_KEY_AGE_MS;
  }

  /** Returns the row's revision. */
  async #read(): Promise<number> {
    const row = await this.#bucket.row(ROW);
    this.#readAt = performance.now();
    const before = this.#keys.at(-1)?.id;
    const found = row === undefined || row.deleted ? [] : parse(row.text);
    if (found.length === 0 && this.#keys.length > 0) {
      return (await this.#bucket.putAfter(ROW, row?.revision ?? 0, textOf(this.#keys))) ?? this.#read();
    }
    this.#keys = found;
    if (this.#keys.at(-1)?.id !== before) this.#seenAt = performance.now();
    return row?.revision ?? 0;
  }
}

function textOf(keys: readonly DatedKey[]): string {
  return JSON.stringify(keys.map((each) => ({ ...each, key: each.key.toString("base64") })));
}

/** What no gateway wrote counts as no keys: others are made, and clients are told that they may have missed something. */
function parse(text: string): DatedKey[] {
  try {
    return stored.parse(JSON.parse(text)).map((each) => ({ ...each, key: Buffer.from(each.key, "base64") }));
  } catch {
    return [];
  }
}
