/**
 * Who owns which partition, and which workers there are (docs/design.md#workers): the KV bucket `tidemark_leases`.
 *
 *     partition.<n>   { v, worker, session }                   held while it is renewed, free when it is deleted or runs out;
 *                                                              deleted with { v, published }: what its holder has published
 *     worker.<id>     { v, session, warm, failed, folded }     a worker's heartbeat, and what it says of itself
 *
 * - **Compare and set.** A key is written with the revision that was last seen of it, so of two workers that claim one wins.
 * - **No shared clock.** Others let a lease run out `LEASE_TTL_MS` after they saw it renewed, on their own monotonic clock.
 *   The holder stops itself `LEASE_HOLD_MS` after it asked for the renewal, which is earlier, whatever was lost in between.
 *   Only for what was there before this worker came does the broker's time of writing count: what had run out by then has.
 * - **Sessions.** A worker's id lives as long as its data directory, a session as long as its process. A process that finds
 *   leases of its own id and another session takes them at once: the process before it is gone, or superseded. Who is
 *   superseded writes nothing more: only a process's first heartbeat replaces what another session wrote.
 *
 * A lease spares work. If two workers believe that they hold one, both publish the same deltas, and nothing else happens.
 */
import { headers, type JetStreamPublishOptions, type MsgHdrs } from "nats";
import type { Position } from "../../../actors/entry.ts";
import {
  ACK_TIMEOUT_MS,
  CLUSTER_READY_MS_MAX,
  LEASE_HOLD_MS,
  LEASE_RENEW_MS,
  LEASE_TICK_MS,
  LEASE_TTL_MS,
} from "../../limits.ts";
import { type Bus, isWrongLastSequence, translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { untilReached } from "../client/retry.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { LEASES_BUCKET } from "../contract/subjects.ts";

const V = 1;
const STREAM = `KV_${LEASES_BUCKET}`;
const SUBJECTS = `$KV.${LEASES_BUCKET}.`;
const OPERATION = "KV-Operation";

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

/** What a holder leaves behind for who comes next: no other message is sure to come before the end of its lease. */
interface Released {
  readonly v: typeof V;
  readonly published: Position;
}

interface Entry {
  readonly revision: number;
  /** undefined: deleted. */
  readonly value: Stored | undefined;
  /** Of a partition that was given up: the position through which it had been published. */
  readonly published: Position | undefined;
  /** When it is as old as a renewal that was seen now, `performance.now()`. */
  readonly since: number;
  /** Whether it was there when this worker came. */
  readonly early: boolean;
}

interface Held {
  revision: number;
  /** The renewal under way. */
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
  readonly times: LeaseTimes;
  readonly report: () => WorkerReport;
  /** Something may be otherwise than before. */
  readonly changed: () => void;
  readonly lost: (partition: number) => void;
  /** Another process runs with this worker's id. From now on this one holds nothing, and says nothing. */
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
  /** Of this worker's heartbeat. */
  #beatRevision = 0;
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
    this.#beatRevision = own;
    this.#renewedAt = performance.now();
    const early: Delivered[] = [];
    await new Promise<void>((resolve, reject) => {
      const onMessage = (message: Delivered) => {
        if (this.#cameAt !== undefined) {
          this.#received(message);
          return;
        }
        early.push(message);
        if (message.sequence < own) return;
        this.#cameAt = message.at;
        for (const each of early) this.#received(each, each.sequence <= own);
        resolve();
      };
      this.#reader = new StreamReader(nc, { stream: STREAM, subject: `${SUBJECTS}>`, from: "latest", onMessage });
      this.#reader.opened.catch(reject);
    });
    if (!this.#closed) this.#timer = setInterval(() => this.#tick(), LEASE_TICK_MS);
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

  /**
   * Claims a partition. Resolves to undefined when this worker does not hold it; otherwise to the position through which the
   * holder before had published it, 0 when it did not say. Throws `BUS_UNAVAILABLE`.
   */
  async claim(partition: number): Promise<Position | undefined> {
    if (this.#held.has(partition)) return 0;
    if (this.#closed || this.#leaving || this.holder(partition) !== undefined) return undefined;
    const key = partitionKey(partition);
    const before = this.#entries.get(key);
    const sentAt = performance.now();
    try {
      const revision = await this.#put(key, this.#lease(), { expected: before?.revision ?? 0 });
      this.#held.set(partition, { revision, deadline: sentAt + this.#options.times.holdMs });
      return before?.published ?? 0;
    } catch (error) {
      if (!isWrongLastSequence(error)) throw translate(error, `claim partition ${partition}`);
      await this.#refresh(key);
      return undefined;
    }
  }

  /** Gives a partition up, published through a position, so that another worker can have it and go on at once. */
  async release(partition: number, published: Position): Promise<void> {
    const held = this.#held.get(partition);
    this.#held.delete(partition);
    if (held === undefined) return;
    await held.renewing; // Its revision would be another one.
    try {
      await this.#put(partitionKey(partition), { v: V, published }, { expected: held.revision, deletes: true });
    } catch (error) {
      // It runs out by itself, or somebody has it already.
      if (!isWrongLastSequence(error)) throw translate(error, `release partition ${partition}`);
    }
  }

  /** Writes this worker's heartbeat now, because what it says of itself has changed. */
  beat(): void {
    if (this.#closed || this.#leaving || this.#beating !== undefined) return;
    this.#beating = this.#writeHeartbeat().finally(() => {
      this.#beating = undefined;
    });
  }

  /** From here on, nobody reckons with this worker. It may still hold partitions. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#beating;
    if (this.#closed) return;
    // It runs out by itself.
    await this.#put(this.#workerKey, undefined, { expected: this.#beatRevision, deletes: true }).catch(() => {});
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

  async #writeHeartbeat(): Promise<void> {
    try {
      const revision = await this.#put(this.#workerKey, this.#heartbeat(), { expected: this.#beatRevision });
      this.#beatRevision = Math.max(this.#beatRevision, revision);
    } catch (error) {
      // It is another process's, or ours, whose acknowledgement was lost: `learn` tells. The next one is never far.
      if (isWrongLastSequence(error)) await this.#refresh(this.#workerKey);
    }
  }

  /** Writes a key, or deletes it, and resolves to its revision. With `expected`, only when that is the one before. */
  async #put(
    key: string,
    value: Stored | Released | undefined,
    { expected, deletes = false }: { readonly expected?: number; readonly deletes?: boolean } = {},
  ): Promise<number> {
    const options: Partial<JetStreamPublishOptions> = {
      timeout: ACK_TIMEOUT_MS,
      ...(expected !== undefined && { expect: { lastSubjectSequence: expected } }),
    };
    if (deletes) {
      options.headers = headers();
      options.headers.set(OPERATION, "DEL");
    }
    const payload = value === undefined ? undefined : JSON.stringify(value);
    return (await this.#options.nc.jetstream().publish(SUBJECTS + key, payload, options)).seq;
  }

  #received(message: Delivered, early = false): void {
    const key = message.subject.slice(SUBJECTS.length);
    const known = this.#entries.get(key);
    if (known !== undefined && known.revision >= message.sequence) return;
    const ageMs = early ? Math.max(0, this.#cameAt! - message.at) : 0;
    this.#learn(key, {
      revision: message.sequence,
      ...contentOf(message.headers, message.data),
      since: performance.now() - ageMs,
      early,
    });
  }

  #learn(key: string, entry: Entry): void {
    if (this.#closed) return;
    this.#entries.set(key, entry);
    const { session, superseded } = this.#options;
    if (key === this.#workerKey) {
      if (!entry.early && entry.value !== undefined && entry.value.session !== session) {
        this.close();
        this.#held.clear();
        superseded();
        return;
      }
      this.#beatRevision = Math.max(this.#beatRevision, entry.revision);
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
      const content = contentOf(stored.header, stored.data);
      this.#learn(key, { revision: stored.seq, ...content, since: performance.now(), early: false });
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
      for (const [partition, held] of this.#held) held.renewing = this.#renew(partition, held);
    }
    this.#options.changed();
  }

  async #renew(partition: number, held: Held): Promise<void> {
    const key = partitionKey(partition);
    const sentAt = performance.now();
    try {
      const revision = await this.#put(key, this.#lease(), { expected: held.revision });
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

/** What a message of the bucket says. */
function contentOf(header: MsgHdrs | undefined, data: Uint8Array): Pick<Entry, "value" | "published"> {
  const content = data.length === 0 ? undefined : JSON.parse(Buffer.from(data).toString());
  if (!header?.get(OPERATION)) return { value: content as Stored, published: undefined };
  return { value: undefined, published: (content as Released | undefined)?.published };
}
