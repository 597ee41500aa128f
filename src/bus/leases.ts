/**
 * Who owns which partition, and which workers there are (DESIGN section 6): the KV bucket `tidemark_leases`.
 *
 *     partition.<n>   { v, worker, session }                   held while it is renewed, free when it is deleted or runs out
 *     worker.<id>     { v, session, warm, failed, folded }     a worker's heartbeat, and what it says of itself
 *
 * - **Compare and set.** A key is written with the revision that was last seen of it, so of two workers that claim one wins.
 * - **No shared clock.** Others let a lease run out `LEASE_TTL_MS` after they saw it renewed, on their own monotonic clock.
 *   The holder stops itself `LEASE_HOLD_MS` after it asked for the renewal, which is earlier, whatever was lost in between.
 *   Only for what was there before this worker came does the broker's time of writing count: what had run out by then has.
 * - **Sessions.** A worker's id lives as long as its data directory, a session as long as its process. A process that finds
 *   leases of its own id and another session takes them at once: the process before it is gone, or loses its store.
 *
 * A lease spares work. If two workers believe that they hold one, both publish the same deltas, and nothing else happens.
 */
import { headers, type JsMsg } from "nats";
import {
  ACK_TIMEOUT_MS,
  CLUSTER_READY_MS_MAX,
  LEASE_HOLD_MS,
  LEASE_RENEW_MS,
  LEASE_TICK_MS,
  LEASE_TTL_MS,
} from "../limits.ts";
import { type Bus, isWrongLastSequence, translate } from "./connection.ts";
import { untilReached } from "./retry.ts";
import { StreamReader } from "./stream-reader.ts";
import { LEASES_BUCKET } from "./subjects.ts";

const V = 1;
const STREAM = `KV_${LEASES_BUCKET}`;
const SUBJECTS = `$KV.${LEASES_BUCKET}.`;
const OPERATION = "KV-Operation";
const NANOS_PER_MS = 1_000_000;

/** What a worker says of itself. */
interface WorkerReport {
  /** Partitions that it owns or could own at once. */
  readonly warm: readonly number[];
  /** Partitions that it can't serve. */
  readonly failed: readonly number[];
  /** Sequence through which it has folded, by partition. */
  readonly folded: Readonly<Record<number, number>>;
}

interface Stored {
  readonly v: typeof V;
  readonly worker?: string;
  readonly session: string;
}

export type StoredWorker = Stored & WorkerReport;

interface Entry {
  readonly revision: number;
  /** undefined: deleted. */
  readonly value: Stored | undefined;
  /** When it is as old as a renewal that was seen now, `performance.now()`. */
  readonly since: number;
  /** Whether it was there when this worker came. */
  readonly early: boolean;
}

interface Held {
  revision: number;
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
  readonly times: LeaseTimes;
  readonly report: () => WorkerReport;
  /** Something may be otherwise than before. */
  readonly changed: () => void;
  readonly lost: (partition: number) => void;
  /** Another process runs with this worker's id. */
  readonly superseded: () => void;
}

export class Leases {
  readonly #options: LeasesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #held = new Map<number, Held>();
  #reader: StreamReader | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewedAt = 0;
  #beating: Promise<void> | undefined;
  #closed = false;
  #leaving = false;
  /** The broker's time of this worker's first heartbeat, ms. Before it is known, what comes is early. */
  #cameAt: number | undefined;

  private constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** Announces this worker, and resolves once all that is in the bucket is known. */
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
    const { nc } = this.#options;
    // A bucket that was made a moment ago may have no leader yet.
    const limit = AbortSignal.timeout(CLUSTER_READY_MS_MAX);
    const own = await untilReached(limit, () => this.#put(this.#workerKey, this.#heartbeat()));
    this.#renewedAt = performance.now();
    const early: JsMsg[] = [];
    await new Promise<void>((resolve, reject) => {
      const onMessage = (message: JsMsg) => {
        if (this.#cameAt !== undefined) {
          this.#received(message);
          return;
        }
        early.push(message);
        if (message.seq < own) return;
        this.#cameAt = timeOf(message);
        for (const each of early) this.#received(each, true);
        resolve();
      };
      this.#reader = new StreamReader(nc, { stream: STREAM, subject: `${SUBJECTS}>`, from: "latest", onMessage });
      this.#reader.opened.catch(reject);
    });
    this.#timer = setInterval(() => this.#tick(), LEASE_TICK_MS);
  }

  /** Workers that are there, this one included, with what they say of themselves. */
  workers(): Map<string, StoredWorker> {
    const live = new Map<string, StoredWorker>();
    for (const [key, { value, since }] of this.#entries) {
      if (!key.startsWith("worker.") || value === undefined || this.#isOver(since)) continue;
      live.set(key.slice("worker.".length), value as StoredWorker);
    }
    const { worker, report, session } = this.#options;
    if (this.#leaving) live.delete(worker);
    else live.set(worker, { v: V, session, ...report() });
    return live;
  }

  /** Who holds a partition; undefined when nobody does. */
  holder(partition: number): string | undefined {
    if (this.#held.has(partition)) return this.#options.worker;
    const entry = this.#entries.get(partitionKey(partition));
    if (entry?.value === undefined || this.#isOver(entry.since)) return undefined;
    const { worker, session } = this.#options;
    if (entry.value.worker === worker && entry.value.session !== session && entry.early) return undefined;
    return entry.value.worker === worker ? undefined : entry.value.worker;
  }

  /** How long nobody has held a partition, ms. A lease of this worker's data directory was never in the way. */
  freeMs(partition: number): number {
    if (this.holder(partition) !== undefined) return 0;
    const entry = this.#entries.get(partitionKey(partition));
    if (entry === undefined) return Number.POSITIVE_INFINITY;
    const past = performance.now() - entry.since;
    return Math.max(0, entry.value === undefined ? past : past - this.#options.times.ttlMs);
  }

  /** Whether this worker holds a partition now. */
  holds(partition: number): boolean {
    return this.#held.has(partition);
  }

  /** Claims a partition. Resolves to whether this worker holds it. Throws `BUS_UNAVAILABLE`. */
  async claim(partition: number): Promise<boolean> {
    if (this.#held.has(partition)) return true;
    if (this.#closed || this.#leaving || this.holder(partition) !== undefined) return false;
    const key = partitionKey(partition);
    const sentAt = performance.now();
    try {
      const revision = await this.#put(key, this.#lease(), this.#entries.get(key)?.revision ?? 0);
      this.#held.set(partition, { revision, deadline: sentAt + this.#options.times.holdMs });
      return true;
    } catch (error) {
      if (!isWrongLastSequence(error)) throw translate(error, `claim partition ${partition}`);
      await this.#refresh(key);
      return false;
    }
  }

  /** Gives a partition up, so that another worker can have it at once. */
  async release(partition: number): Promise<void> {
    const held = this.#held.get(partition);
    this.#held.delete(partition);
    if (held === undefined) return;
    try {
      await this.#put(partitionKey(partition), undefined, held.revision);
    } catch (error) {
      // It runs out by itself, or somebody has it already.
      if (!isWrongLastSequence(error)) throw translate(error, `release partition ${partition}`);
    }
  }

  /** Writes this worker's heartbeat now, because what it says of itself has changed. */
  beat(): void {
    if (this.#closed || this.#leaving || this.#beating !== undefined) return;
    this.#beating = this.#put(this.#workerKey, this.#heartbeat())
      .then(
        () => {},
        () => {}, // The next one is never far.
      )
      .finally(() => {
        this.#beating = undefined;
      });
  }

  /** From here on, nobody reckons with this worker. It may still hold partitions. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#beating;
    await this.#put(this.#workerKey, undefined).catch(() => {}); // It runs out by itself.
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#reader?.close();
  }

  get #workerKey(): string {
    return `worker.${this.#options.worker}`;
  }

  #lease(): Stored {
    const { worker, session } = this.#options;
    return { v: V, worker, session };
  }

  #heartbeat(): StoredWorker {
    const { session, report } = this.#options;
    return { v: V, session, ...report() };
  }

  /** Writes a key, or deletes it; resolves to its revision. With `expected`, only when that is the one before. */
  async #put(key: string, value: Stored | undefined, expected?: number): Promise<number> {
    const options = {
      timeout: ACK_TIMEOUT_MS,
      ...(expected !== undefined && { expect: { lastSubjectSequence: expected } }),
    };
    const js = this.#options.nc.jetstream();
    const subject = SUBJECTS + key;
    if (value !== undefined) return (await js.publish(subject, JSON.stringify(value), options)).seq;
    const deleted = headers();
    deleted.set(OPERATION, "DEL");
    return (await js.publish(subject, undefined, { ...options, headers: deleted })).seq;
  }

  #received(message: JsMsg, early = false): void {
    const key = message.subject.slice(SUBJECTS.length);
    const known = this.#entries.get(key);
    if (known !== undefined && known.revision >= message.seq) return;
    const ageMs = early ? Math.max(0, this.#cameAt! - timeOf(message)) : 0;
    this.#learn(key, {
      revision: message.seq,
      value: message.headers?.get(OPERATION) ? undefined : message.json<Stored>(),
      since: performance.now() - ageMs,
      early,
    });
  }

  #learn(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    const { session, superseded } = this.#options;
    if (key === this.#workerKey && !entry.early && entry.value !== undefined && entry.value.session !== session) {
      superseded();
      return;
    }
    const partition = partitionOfKey(key);
    const held = partition === undefined ? undefined : this.#held.get(partition);
    if (held !== undefined && entry.revision > held.revision) {
      if (entry.value?.session === session) held.revision = entry.revision;
      else this.#lose(partition!);
    }
    this.#options.changed();
  }

  /** What a key has now, when somebody else wrote it and the news has not come yet. */
  async #refresh(key: string): Promise<void> {
    try {
      const jsm = await this.#options.nc.jetstreamManager({ checkAPI: false });
      const stored = await jsm.streams.getMessage(STREAM, { last_by_subj: SUBJECTS + key });
      const known = this.#entries.get(key);
      if (known !== undefined && known.revision >= stored.seq) return;
      const value = stored.header.get(OPERATION) ? undefined : stored.json<Stored>();
      this.#learn(key, { revision: stored.seq, value, since: performance.now(), early: false });
    } catch {
      // The watch brings it as well.
    }
  }

  #isOver(since: number): boolean {
    return performance.now() - since >= this.#options.times.ttlMs;
  }

  #tick(): void {
    const now = performance.now();
    for (const [partition, { deadline }] of this.#held) if (now >= deadline) this.#lose(partition);
    if (now - this.#renewedAt >= this.#options.times.renewMs) {
      this.#renewedAt = now;
      this.beat();
      for (const partition of this.#held.keys()) void this.#renew(partition);
    }
    this.#options.changed();
  }

  async #renew(partition: number): Promise<void> {
    const held = this.#held.get(partition)!;
    const key = partitionKey(partition);
    const sentAt = performance.now();
    try {
      const revision = await this.#put(key, this.#lease(), held.revision);
      held.revision = Math.max(held.revision, revision);
      held.deadline = sentAt + this.#options.times.holdMs;
    } catch (error) {
      // After a renewal whose acknowledgement was lost, the revision is another, and ours: `learn` tells.
      if (isWrongLastSequence(error)) await this.#refresh(key);
      else this.#renewedAt = Math.min(this.#renewedAt, performance.now() - this.#options.times.renewMs * (4 / 5));
    }
  }

  #lose(partition: number): void {
    this.#held.delete(partition);
    this.#options.lost(partition);
  }
}

function partitionKey(partition: number): string {
  return `partition.${partition}`;
}

function partitionOfKey(key: string): number | undefined {
  const match = /^partition\.(\d+)$/.exec(key);
  return match === null ? undefined : Number(match[1]);
}

/** The broker's time of writing, ms since 1970. */
function timeOf(message: JsMsg): number {
  return message.info.timestampNanos / NANOS_PER_MS;
}
