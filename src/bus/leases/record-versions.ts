/**
 * Which version of records ingress may append: one that every worker reads, or the partitions of an older worker would stop.
 *
 * Workers announce what they read with their heartbeats. During an upgrade, requests that need the newer version are refused until
 * the last old worker is gone.
 */
import { LEASE_TTL_MS } from "../../limits.ts";
import type { Bus } from "../client/connection.ts";
import { Bucket } from "../client/kv.ts";
import { parseRow } from "../contract/lease-rows.ts";
import { RECORD_VERSION } from "../contract/record.ts";
import { LEASES_BUCKET } from "../contract/subjects.ts";

/** How long an answer is used. */
const FRESH_MS = 5_000;

/** What workers read that don't say so: their rows are of an older shape. */
const UNANNOUNCED = 1;

export class RecordVersions {
  readonly #nc: Bus;
  #askedAt = Number.NEGATIVE_INFINITY;
  #answer: Promise<number> | undefined;

  constructor(nc: Bus) {
    this.#nc = nc;
  }

  /** The newest version that every live worker reads. Throws `BUS_UNAVAILABLE`. */
  readByAll(): Promise<number> {
    const now = performance.now();
    if (this.#answer !== undefined && now - this.#askedAt < FRESH_MS) return this.#answer;
    this.#askedAt = now;
    const answer = this.#ask();
    answer.catch(() => {
      if (this.#answer === answer) this.#answer = undefined;
    });
    this.#answer = answer;
    return answer;
  }

  /** A row that is `LEASE_TTL_MS` older than the newest one is expired: only the broker's clock counts. */
  async #ask(): Promise<number> {
    const rows = await new Bucket(this.#nc, LEASES_BUCKET).rows();
    const newest = Math.max(...rows.map(({ at }) => at), 0);
    let version = RECORD_VERSION;
    for (const row of rows) {
      const parsed = newest - row.at < LEASE_TTL_MS ? parseRow(row) : undefined;
      if (parsed?.kind === "worker") version = Math.min(version, parsed.content?.records ?? UNANNOUNCED);
    }
    return version;
  }
}
