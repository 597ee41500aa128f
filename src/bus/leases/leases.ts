/**
 * Who owns which partition, and which workers there are (docs/design.md#workers): the bucket `tidemark_leases`.
 *
 *     partition.<n>   { v, worker, session, lineage, fold }          owned while it is renewed; free when it is deleted or expires;
 *                                                                    deleted with { v, published, lineage, fold }: what its owner
 *                                                                    has published
 *     worker.<id>     { v, session, fold, warm, failed, folded }     a worker's heartbeat, with its report about itself
 *
 * - **Compare and set.** A row is written with the revision that was last seen, so of two workers that claim one wins.
 * - **No shared clock.** For other workers, a lease expires `LEASE_TTL_MS` after they saw its last renewal, on their own
 *   monotonic clock. Its owner stops `LEASE_HOLD_MS` after it requested its last successful renewal. That is earlier, no
 *   matter which messages were lost in between. The broker's time of writing counts only for rows that are older than this
 *   worker: those that had expired by then are expired.
 * - **Sessions.** A worker's id lives as long as its data directory, a session as long as its process. A process takes leases
 *   of its own id and another session at once: the earlier process is gone, or superseded. A superseded process writes nothing
 *   more: only a process's first heartbeat replaces what another session wrote.
 *
 * - **A bucket or a row that was deleted** (the bucket is made again by a worker) counts as one that was never written: whoever wrote
 *   a row writes it again. What is known of others' rows stands until it expires. Revisions that go back tell of another bucket.
 * - **Fold versions.** A worker never claims a partition whose last owner had a newer fold: it would publish other orders and
 *   markers than those that are published. Without the row's last content (deleted by hand) any worker may.
 *
 * A lease only spares work. If two workers believe that they own one, both publish the same deltas, and nothing else happens.
 */
import type { Position } from "../../../actors/entry.ts";
import { CLUSTER_READY_MS_MAX, LEASE_HOLD_MS, LEASE_RENEW_MS, LEASE_TTL_MS } from "../../limits.ts";
import { type Bus, translate } from "../client/connection.ts";
import { Bucket, type Row } from "../client/kv.ts";
import { untilReached } from "../client/retry.ts";
import type { StreamReader } from "../client/stream-reader.ts";
import {
  encodeRow,
  type LeaseRow,
  parseRow,
  partitionKey,
  type ReleaseRow,
  type WorkerReport,
  type WorkerRow,
  workerKey,
} from "../contract/lease-rows.ts";
import { LEASES_BUCKET } from "../contract/subjects.ts";

/** How often leases are checked for what time alone has changed. */
const LEASE_TICK_MS = 250;

interface Known<T> {
  readonly revision: number;
  /** undefined: deleted. */
  readonly content: T | undefined;
  /** When the row was written, as far as this worker can tell: `performance.now()`. */
  readonly since: number;
  /** Whether the row is older than this worker. */
  readonly early: boolean;
}

interface KnownLease extends Known<LeaseRow> {
  /** What the last owner left, if it gave the lease up. */
  readonly release: ReleaseRow | undefined;
}

interface OwnedLease {
  readonly lineage: () => string;
  revision: number;
  /** The renewal that is being written. */
  renewing?: Promise<void>;
  /** `performance.now()` */
  deadline: number;
}

export interface LeaseTimes {
  readonly renewMs: number;
  readonly holdMs: number;
  readonly ttlMs: number;
}

export const LEASE_TIMES: LeaseTimes = { renewMs: LEASE_RENEW_MS, holdMs: LEASE_HOLD_MS, ttlMs: LEASE_TTL_MS };

interface LeasesOptions {
  readonly nc: Bus;
  readonly worker: string;
  readonly session: string;
  /** The version of this worker's fold. */
  readonly fold: number;
  readonly times: LeaseTimes;
  /** Called for each heartbeat, and by `workers`. */
  readonly report: () => WorkerReport;
  /** Called after any change to leases or workers, and at every tick. */
  readonly changed: () => void;
  /** Called when this worker no longer owns a partition, but not after `release`. */
  readonly lost: (partition: number) => void;
  /** Called for each heartbeat of this worker that comes back, with the broker's time: Unix time in ms. */
  readonly stamped: (brokerAt: number) => void;
  /** Called when another process runs with this worker's id. From then on this one owns nothing and writes nothing. */
  readonly superseded: () => void;
}

export class Leases {
  readonly #options: LeasesOptions;
  readonly #bucket: Bucket;
  readonly #workers = new Map<string, Known<WorkerRow>>();
  readonly #leases = new Map<number, KnownLease>();
  readonly #owned = new Map<number, OwnedLease>();
  #reader: StreamReader | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** `performance.now()` */
  #renewedAt = 0;
  #beating: Promise<void> | undefined;
  /** The newest known revision of this worker's heartbeat. */
  #beatRevision = 0;
  /** The newest revision that the watch has delivered. */
  #watched = 0;
  #closed = false;
  #leaving = false;
  /** The broker's time of this worker's first heartbeat, Unix time in ms. Until it is known, rows are only collected. */
  #startedAt: number | undefined;

  private constructor(options: LeasesOptions) {
    this.#options = options;
    this.#bucket = new Bucket(options.nc, LEASES_BUCKET);
  }

  /** Writes the first heartbeat, and resolves when the whole bucket is read. Throws `BUS_UNAVAILABLE`. */
  static async open(options: LeasesOptions): Promise<Leases> {
    const leases = new Leases(options);
    try {
      await leases.#open();
    } catch (error) {
      throw translate(error, "read the owner leases");
    }
    return leases;
  }

  async #open(): Promise<void> {
    const { worker } = this.#options;
    // A bucket that was made a moment ago may have no leader yet.
    const limit = AbortSignal.timeout(CLUSTER_READY_MS_MAX);
    const heartbeat = encodeRow("worker", this.#heartbeat());
    const own = await untilReached(limit, () => this.#bucket.put(workerKey(worker), heartbeat));
    this.#beatRevision = own;
    this.#renewedAt = performance.now();
    const early: Row[] = [];
    await new Promise<void>((resolve, reject) => {
      this.#reader = this.#bucket.watch((row) => {
        if (row.revision <= this.#watched) this.#beginAgain();
        this.#watched = row.revision;
        if (this.#startedAt !== undefined) {
          this.#learn(row, false);
          return;
        }
        early.push(row);
        if (row.revision < own) return;
        this.#startedAt = row.at;
        for (const each of early) this.#learn(each, each.revision <= own);
        resolve();
      });
      this.#reader.opened.catch(reject);
    });
    if (!this.#closed) this.#timer = setInterval(() => this.#tick(), LEASE_TICK_MS);
  }

  /** All live workers with their reports, this one included. */
  workers(): Map<string, WorkerRow> {
    const live = new Map<string, WorkerRow>();
    for (const [id, { content, since }] of this.#workers) {
      if (content !== undefined && !this.#isExpired(since)) live.set(id, content);
    }
    if (this.#leaving) live.delete(this.#options.worker);
    else live.set(this.#options.worker, this.#heartbeat());
    return live;
  }

  /** The worker that owns a partition; undefined when nobody does. */
  owner(partition: number): string | undefined {
    const { worker, session } = this.#options;
    if (this.#owned.has(partition)) return worker;
    const lease = this.#leases.get(partition);
    if (lease?.content === undefined || this.#isExpired(lease.since)) return undefined;
    const { content, early } = lease;
    if (content.worker === worker && content.session !== session && early) return undefined;
    return content.worker === worker ? undefined : content.worker;
  }

  /** For how long nobody has owned a partition, in ms. A lease of this worker's own data directory counts as free. */
  freeMs(partition: number): number {
    if (this.owner(partition) !== undefined) return 0;
    const lease = this.#leases.get(partition);
    if (lease === undefined) return Number.POSITIVE_INFINITY;
    const past = performance.now() - lease.since;
    return Math.max(0, lease.content === undefined ? past : past - this.#options.times.ttlMs);
  }

  /** The oldest fold version that may claim a partition. */
  foldVersion(partition: number): number {
    const lease = this.#leases.get(partition);
    return (lease?.content ?? lease?.release)?.fold ?? 0;
  }

  /** Whether this worker owns a partition now. */
  owns(partition: number): boolean {
    return this.#owned.has(partition);
  }

  /**
   * Claims a partition. Returns undefined when this worker doesn't get it; otherwise the position through which the previous
   * owner had published its log of this lineage, 0 when unknown. A log has no lineage before its first record, so it is asked for
   * whenever a row is written. Throws `BUS_UNAVAILABLE`.
   */
  async claim(partition: number, lineage: () => string): Promise<Position | undefined> {
    if (this.#owned.has(partition)) return 0;
    if (this.#closed || this.#leaving || this.owner(partition) !== undefined) return undefined;
    if (this.foldVersion(partition) > this.#options.fold) return undefined;
    const key = partitionKey(partition);
    const before = this.#leases.get(partition);
    const sentAt = performance.now();
    const revision = await this.#bucket.putAfter(key, before?.revision ?? 0, this.#lease(lineage()));
    if (revision === undefined) {
      // A row that is gone is claimed at the next attempt.
      if (await this.#isGone(key)) this.#forget(partition);
      return undefined;
    }
    this.#owned.set(partition, { lineage, revision, deadline: sentAt + this.#options.times.holdMs });
    return before?.release?.lineage === lineage() ? before.release.published : 0;
  }

  /** Gives up a partition that is published through a position, so that another worker can take over at once. */
  async release(partition: number, published: Position): Promise<void> {
    const lease = this.#owned.get(partition);
    this.#owned.delete(partition);
    if (lease === undefined) return;
    await lease.renewing; // It changes the revision.
    // Another revision means that the lease expired and another worker has claimed it: nothing is left to release.
    const left = encodeRow("release", { published, lineage: lease.lineage(), fold: this.#options.fold });
    await this.#bucket.deleteAfter(partitionKey(partition), lease.revision, left);
  }

  /** Writes this worker's heartbeat now, because its report has changed. */
  beat(): void {
    if (this.#closed || this.#leaving || this.#beating !== undefined) return;
    this.#beating = this.#writeHeartbeat().finally(() => {
      this.#beating = undefined;
    });
  }

  /** Deletes this worker's heartbeat: other workers no longer count on it. It may still own partitions. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#beating;
    if (this.#closed) return;
    // A heartbeat that can't be deleted expires.
    await this.#bucket.deleteAfter(workerKey(this.#options.worker), this.#beatRevision).catch(() => {});
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#reader?.close();
  }

  #lease(lineage: string): string {
    const { worker, session, fold } = this.#options;
    return encodeRow("lease", { worker, session, lineage, fold });
  }

  #heartbeat(): WorkerRow {
    const { session, fold, report } = this.#options;
    return { session, fold, ...report() };
  }

  async #writeHeartbeat(): Promise<void> {
    const key = workerKey(this.#options.worker);
    try {
      const put = () => this.#bucket.putAfter(key, this.#beatRevision, encodeRow("worker", this.#heartbeat()));
      let revision = await put();
      // Another process wrote it, or this one did and the acknowledgement was lost: `#learn` finds out.
      if (revision === undefined && (await this.#isGone(key))) {
        this.#beatRevision = 0;
        revision = await put();
      }
      if (revision !== undefined) this.#beatRevision = Math.max(this.#beatRevision, revision);
    } catch {
      // The next heartbeat follows soon.
    }
  }

  #learn(row: Row, early: boolean): void {
    const parsed = parseRow(row);
    if (parsed === undefined || this.#closed) return;
    const { worker, session, stamped } = this.#options;
    if (parsed.kind === "worker" && parsed.worker === worker && parsed.content?.session === session) stamped(row.at);
    const known = parsed.kind === "worker" ? this.#workers.get(parsed.worker) : this.#leases.get(parsed.partition);
    if (known !== undefined && known.revision >= row.revision) return;
    const ageMs = early ? Math.max(0, this.#startedAt! - row.at) : 0;
    const seen = { revision: row.revision, since: performance.now() - ageMs, early };
    if (parsed.kind === "worker") this.#learnWorker(parsed.worker, { ...seen, content: parsed.content });
    else this.#learnLease(parsed.partition, { ...seen, content: parsed.content, release: parsed.release });
    if (!this.#closed) this.#options.changed();
  }

  #learnWorker(id: string, row: Known<WorkerRow>): void {
    this.#workers.set(id, row);
    const { worker, session, superseded } = this.#options;
    if (id !== worker) return;
    if (row.early || row.content === undefined || row.content.session === session) {
      this.#beatRevision = Math.max(this.#beatRevision, row.revision);
      return;
    }
    this.close();
    this.#owned.clear();
    superseded();
  }

  #learnLease(partition: number, row: KnownLease): void {
    this.#leases.set(partition, row);
    const owned = this.#owned.get(partition);
    if (owned === undefined || row.revision <= owned.revision) return;
    if (row.content?.session === this.#options.session) owned.revision = row.revision;
    else this.#lose(partition);
  }

  /** Whether a row is there no more, not even as deleted. Learns it otherwise, before the watch delivers it. */
  async #isGone(key: string): Promise<boolean> {
    try {
      const row = await this.#bucket.row(key);
      if (row !== undefined) this.#learn(row, false);
      return row === undefined;
    } catch {
      return false; // The watch delivers it, too.
    }
  }

  /** The lease's row is gone. */
  #forget(partition: number): void {
    const lease = this.#leases.get(partition);
    if (lease !== undefined) this.#leases.set(partition, { ...lease, revision: 0 });
  }

  /** The bucket was made again: its revisions begin again. */
  #beginAgain(): void {
    for (const partition of this.#leases.keys()) this.#forget(partition);
    for (const [id, row] of this.#workers) this.#workers.set(id, { ...row, revision: 0 });
    for (const lease of this.#owned.values()) lease.revision = 0;
    this.#beatRevision = 0;
  }

  #isExpired(since: number): boolean {
    return performance.now() - since >= this.#options.times.ttlMs;
  }

  #tick(): void {
    const now = performance.now();
    for (const [partition, { deadline }] of this.#owned) if (now >= deadline) this.#lose(partition);
    if (now - this.#renewedAt >= this.#options.times.renewMs) {
      this.#renewedAt = now;
      this.beat();
      for (const [partition, lease] of this.#owned) lease.renewing = this.#renew(partition, lease);
    }
    this.#options.changed();
  }

  async #renew(partition: number, lease: OwnedLease): Promise<void> {
    const key = partitionKey(partition);
    const { renewMs, holdMs } = this.#options.times;
    const sentAt = performance.now();
    try {
      const put = () => this.#bucket.putAfter(key, lease.revision, this.#lease(lease.lineage()));
      let revision = await put();
      // Another worker claimed it, or an earlier renewal was stored and its acknowledgement lost: `#learn` finds out.
      if (revision === undefined && (await this.#isGone(key))) {
        this.#forget(partition);
        lease.revision = 0;
        revision = await put();
      }
      if (revision === undefined) return;
      lease.revision = Math.max(lease.revision, revision);
      lease.deadline = sentAt + holdMs;
    } catch {
      // Tries again after a fifth of the usual time.
      this.#renewedAt = Math.min(this.#renewedAt, performance.now() - renewMs * (4 / 5));
    }
  }

  #lose(partition: number): void {
    this.#owned.delete(partition);
    this.#options.lost(partition);
  }
}
