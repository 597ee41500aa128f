/**
 * The worker role: the partitions that this process owns or stands by for, and the questions about their rooms.
 *
 * After every change of a lease, a worker or a partition, and at intervals, the worker looks up its assignment for each
 * partition (`actors/partition/placement.ts`), and carries it out: it stands by, claims, hands over or gives up.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { type Assignment, assignmentOf, ranking } from "../../actors/partition/placement.ts";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import { AckedPublisher } from "../bus/client/acked-publisher.ts";
import type { Bus } from "../bus/client/connection.ts";
import type { WorkerRow } from "../bus/contract/lease-rows.ts";
import { RECORD_VERSION } from "../bus/contract/record.ts";
import { LEASE_TIMES, Leases, type LeaseTimes } from "../bus/leases/leases.ts";
import { federationShards } from "../bus/partition-count.ts";
import { replicasOn } from "../bus/streams.ts";
import { Conditions } from "../conditions.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { ACTIVE_ROOMS_MAX, CHECKPOINT_ENTRIES, CHECKPOINT_MS, IDLE_MS } from "../limits.ts";
import { Standstill } from "../standstill.ts";
import { CatchUpProgress } from "./catch-up-progress.ts";
import { ClockSkew } from "./clock-skew.ts";
import type { FederationOutboxOptions } from "./federation-publisher.ts";
import { workerId } from "./identity.ts";
import { Partition, type WorkerLatencies } from "./partition.ts";
import { Queries } from "./queries/queries.ts";
import { StreamKeeper } from "./stream-keeper.ts";
import { WorkerCounts } from "./worker-counts.ts";

/**
 * Records that a process requests ahead of the fold, over all its partitions, and at least for each of them. They are on their
 * way together, and the broker cuts off a connection with more than 64 MiB pending.
 */
export const FETCH_RECORDS_MAX = 2_048;
const FETCH_RECORDS_MIN = 16;

/** Of a heartbeat, which is written every few seconds. */
const REPORTED_CONDITIONS_MAX = 64;

/** How much is held in memory, and how often the rest is written. Default: the constants of `src/limits.ts`. */
export interface MemoryOptions {
  /** Active rooms of the whole process. */
  readonly activeRoomsMax?: number;
  /** How long an unused room stays active, ms. */
  readonly idleMs?: number;
  /** The interval between checkpoints, ms. */
  readonly checkpointMs?: number;
  /** A checkpoint is written earlier after this many entries. */
  readonly checkpointEntries?: number;
}

interface WorkerOptions extends MemoryOptions {
  readonly nc: Bus;
  /** The number of partitions. */
  readonly partitions: number;
  /** The data directory: the worker's name, and a folder of checkpoints. */
  readonly data: string;
  readonly federation?: FederationOutboxOptions;
  readonly log: Logger;
  /** Default: they are in the log alone. */
  readonly conditions?: Conditions;
  /** Unix time in ms, which is compared with the broker's, and decides nothing. Default: `Date.now`. */
  readonly now?: () => number;
  readonly leaseTimes?: LeaseTimes;
  /** Replicas of streams that are made again. Default: as in `replicasOn`. */
  readonly replicas?: number | undefined;
  /** How often streams are looked for, ms. Default: that of `StreamKeeper`. */
  readonly keepMs?: number;
  /** Default: `FOLD_VERSION`. */
  readonly foldVersion?: number;
  /** See `PartitionOptions`. */
  readonly stuckMs?: number;
  /** Default: nobody is told. */
  readonly latencies?: WorkerLatencies;
  /** Called repeatedly until the worker is live, with the numbers of folded records and of all records of its logs. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Whether the worker takes partitions. One that does not any more gives up those that it has. */
type Phase =
  | { readonly is: "assigning" }
  /** Another process runs with the same data directory. */
  | { readonly is: "superseded"; readonly error: TidemarkError }
  | { readonly is: "draining" };

export class Worker {
  readonly id: string;
  readonly counts = new WorkerCounts();
  readonly clockSkew: ClockSkew;
  readonly #options: WorkerOptions;
  readonly #conditions: Conditions;
  readonly #acked: AckedPublisher;
  readonly #queries: Queries;
  readonly #partitions = new Map<number, Partition>();
  /** The errors of partitions that have failed here. Other workers may serve them; this one tries again after a restart. */
  readonly #failed = new Map<number, unknown>();
  /** Partitions that are being closed. Until then their stores can't be opened again. */
  readonly #closing = new Map<number, Promise<void>>();
  #phase: Phase = { is: "assigning" };
  #leases: Leases | undefined;
  #keeper: StreamKeeper | undefined;
  readonly #standstill = new Standstill();
  #shards = 0;
  #isAssignmentDue = false;
  #lastReport = "";
  #onSettled: (() => void) | undefined;

  private constructor(options: WorkerOptions) {
    const { nc, partitions, data, log } = options;
    this.id = workerId(data);
    this.#options = options;
    this.#conditions = options.conditions ?? new Conditions({ log });
    this.clockSkew = new ClockSkew(this.#conditions);
    this.#acked = new AckedPublisher(nc);
    const served = (number: number) => {
      const partition = this.#partitions.get(number);
      return partition?.live ? partition : undefined;
    };
    this.#queries = new Queries({ nc, partitions, served, log, answered: options.latencies?.asked });
  }

  /**
   * Resolves when this worker is ready. A partition that fails fails alone. Throws when all of them fail here, or when another
   * process runs with the same data directory.
   */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options);
    try {
      await worker.#begin();
      if (worker.#phase.is === "superseded") throw worker.#phase.error;
      if (worker.#hasFailed) for (const failure of worker.#failed.values()) throw failure;
      return worker;
    } catch (error) {
      await worker.drain();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const { nc, leaseTimes = LEASE_TIMES, log, now = Date.now, onProgress } = this.#options;
    const settled = new Promise<void>((resolve) => {
      this.#onSettled = resolve;
    });
    this.#shards = await federationShards(nc);
    const { replicas, keepMs: everyMs, partitions: count } = this.#options;
    this.#keeper = new StreamKeeper({
      nc,
      kept: { partitions: count, shards: this.#shards, replicas: replicasOn(nc, replicas) },
      conditions: this.#conditions,
      ended: (partition, last) => this.#logEnds(partition, last),
      ...(everyMs !== undefined && { everyMs }),
    });
    this.#leases = await Leases.open({
      nc,
      worker: this.id,
      session: randomUUID(),
      fold: this.#foldVersion,
      times: leaseTimes,
      report: () => this.#report(),
      changed: () => this.#changed(),
      lost: (partition) => this.#lost(partition),
      stamped: (brokerAt) => this.clockSkew.observe("worker", now() - brokerAt),
      superseded: () => this.#supersede(),
    });
    this.#changed();
    const partitions = this.#partitions;
    const progress = new CatchUpProgress({ partitions, log, ...(onProgress !== undefined && { onProgress }) });
    try {
      await settled;
    } finally {
      progress.close();
    }
  }

  /**
   * Whether this worker does what it should: it serves the partitions that it owns, and could serve at once those that it stands by
   * for. Those that have failed here don't count, nor those that nobody owns and that it can't get: no other process would do
   * better in its place.
   */
  get ready(): boolean {
    return this.#phase.is === "assigning" && !this.#hasFailed && this.#isSettled();
  }

  /** Whether every partition has failed here: what is wrong is the data directory, or the broker. */
  get #hasFailed(): boolean {
    return this.#failed.size === this.#options.partitions;
  }

  /** The partitions that this process owns or stands by for, by number. */
  get partitions(): ReadonlyMap<number, Partition> {
    return this.#partitions;
  }

  get failedPartitions(): number {
    return this.#failed.size;
  }

  /** Answers no more questions, publishes what is folded, and gives all partitions up. */
  async drain(): Promise<void> {
    this.#phase = { is: "draining" };
    await this.#keeper?.close();
    await this.#queries.drain();
    await this.#leases?.leave();
    await Promise.all([...this.#partitions.keys()].map((number) => this.#giveUp(number)));
    await Promise.all(this.#closing.values());
    await this.#queries.close();
    this.#leases?.close();
    this.#acked.close();
  }

  /** What other workers should know of this one. */
  #report() {
    const warm: number[] = [];
    const folded: Record<number, number> = {};
    for (const [number, partition] of this.#partitions) {
      if (partition.warm) warm.push(number);
      folded[number] = partition.folded;
    }
    const degraded = this.#conditions.open().slice(0, REPORTED_CONDITIONS_MAX);
    const failed = [...this.#failed.keys()];
    return { warm, failed, folded, records: RECORD_VERSION, ...(degraded.length > 0 && { degraded }) };
  }

  /** Called after every change. Its caller may be in the middle of one, so assignments follow in a microtask. */
  #changed(): void {
    if (this.#isAssignmentDue) return;
    this.#isAssignmentDue = true;
    queueMicrotask(() => {
      this.#isAssignmentDue = false;
      if (this.#leases === undefined) return;
      this.#collectFailures();
      if (this.#phase.is === "assigning") this.#assign();
      this.#queries.own();
      if (this.#isSettled()) this.#onSettled?.();
      this.#notice();
      const { warm, failed, degraded } = this.#report();
      const report = JSON.stringify([warm, failed, degraded]);
      if (report !== this.#lastReport) this.#leases.beat();
      this.#lastReport = report;
    });
  }

  #assign(): void {
    const workers = this.#leases!.workers();
    for (let number = 0; number < this.#options.partitions; number++) {
      if (this.#failed.has(number) || this.#closing.has(number)) continue;
      const assignment = this.#assignmentOf(number, workers);
      const partition = this.#partitions.get(number);
      if (assignment === "none" && partition?.standsBy) void this.#giveUp(number);
      if (assignment === "handOver" && partition?.live) {
        this.#options.log.info({ partition: number }, "a partition is handed over");
        this.counts.leases.handed_over++;
        void this.#giveUp(number);
      }
      if ((assignment === "standby" || assignment === "claim") && partition === undefined) this.#standBy(number);
      if (assignment === "claim" && partition?.standsBy) {
        this.counts.leases.claimed++;
        partition.claim();
      }
    }
  }

  get #foldVersion(): number {
    return this.#options.foldVersion ?? FOLD_VERSION;
  }

  #logEnds(number: number, last: number): void {
    const partition = this.#partitions.get(number);
    const read = partition?.folded ?? 0;
    if (!partition?.live) this.#standstill.forget(number);
    const isDeaf = partition?.live === true && this.#standstill.look(number, { read, end: last });
    this.#conditions.set(isDeaf, "log_unread", number, { folded: read, last });
  }

  /** Whatever is wrong with the partitions, as far as can be seen from here. */
  #notice(): void {
    const leases = this.#leases!;
    const workers = leases.workers();
    for (let number = 0; number < this.#options.partitions; number++) {
      const owner = leases.owner(number);
      const isServed = owner !== undefined && workers.get(owner)?.warm.includes(number) === true;
      this.#conditions.set(!isServed, "partition_unserved", number);
      this.#conditions.set(this.#partitions.get(number)?.stuck === true, "partition_stuck", number);
      const fold = leases.foldVersion(number);
      const needsNewer = owner === undefined && fold > this.#foldVersion;
      this.#conditions.set(needsNewer, "newer_version_needed", number, { fold, own: this.#foldVersion });
    }
  }

  #assignmentOf(number: number, workers: ReadonlyMap<string, WorkerRow>): Assignment {
    const needed = this.#leases!.foldVersion(number);
    const able = [...workers].filter(([, { failed, fold }]) => fold >= needed && !failed.includes(number));
    return assignmentOf({
      me: this.id,
      ranking: ranking(
        number,
        able.map(([id]) => id),
      ),
      owner: this.#leases!.owner(number),
      freeMs: this.#leases!.freeMs(number),
      isWarm: (worker) => workers.get(worker)?.warm.includes(number) ?? false,
    });
  }

  #standBy(number: number): void {
    const { nc, data, federation = {}, log, partitions: count } = this.#options;
    const { activeRoomsMax = ACTIVE_ROOMS_MAX, idleMs = IDLE_MS } = this.#options;
    const { checkpointMs = CHECKPOINT_MS, checkpointEntries = CHECKPOINT_ENTRIES } = this.#options;
    const partition = new Partition({
      nc,
      acked: {
        publish: (...message) => {
          this.counts.deltas++;
          return this.#acked.publish(...message);
        },
      },
      leases: this.#leases!,
      partition: number,
      data,
      federation: { ...federation, shards: this.#shards },
      conditions: this.#conditions,
      log,
      memory: { activeRoomsMax: Math.ceil(activeRoomsMax / count), idleMs, checkpointMs, checkpointEntries },
      ahead: Math.max(FETCH_RECORDS_MIN, Math.floor(FETCH_RECORDS_MAX / count)),
      clockAhead: (aheadMs) => this.clockSkew.observe("ingress", aheadMs),
      changed: () => this.#changed(),
      counted: (outcome) => this.counts.add(outcome),
      noted: (items) => this.counts.noted(items),
      stuckMs: this.#options.stuckMs,
      latencies: this.#options.latencies,
    });
    this.#partitions.set(number, partition);
  }

  async #giveUp(number: number): Promise<void> {
    const partition = this.#partitions.get(number);
    if (partition === undefined) return;
    const closing = partition
      .stop()
      .catch((error) => {
        this.#options.log.error({ partition: number, reason: reasonOf(error) }, "a partition did not end in order");
      })
      .finally(() => {
        this.#partitions.delete(number);
        this.#closing.delete(number);
        this.#changed();
      });
    this.#closing.set(number, closing);
    await closing;
  }

  #lost(number: number): void {
    this.#options.log.warn({ partition: number }, "the lease of a partition ran out: another worker may have it");
    this.counts.leases.lost++;
    this.#partitions.get(number)?.lose();
    void this.#giveUp(number);
  }

  #collectFailures(): void {
    for (const [number, partition] of this.#partitions) {
      if (partition.state !== "failed" || this.#failed.has(number)) continue;
      this.#failed.set(number, partition.failure);
      void this.#giveUp(number);
    }
  }

  #supersede(): void {
    const error = new TidemarkError(
      "BUS_MISMATCH",
      `another process runs with ${this.#options.data}: each worker needs a data directory of its own`,
    );
    this.#phase = { is: "superseded", error };
    this.#options.log.fatal({ worker: this.id }, error.message);
    for (const [number, partition] of [...this.#partitions]) {
      partition.lose();
      void this.#giveUp(number);
    }
    this.#onSettled?.();
  }

  #isSettled(): boolean {
    if (this.#leases === undefined) return false;
    const workers = this.#leases.workers();
    for (let number = 0; number < this.#options.partitions; number++) {
      if (!this.#failed.has(number) && !this.#isServedAsAssigned(number, workers)) return false;
    }
    return true;
  }

  /** Whether what is left of the assignment could only be done by others, or is done. */
  #isServedAsAssigned(number: number, workers: ReadonlyMap<string, WorkerRow>): boolean {
    const partition = this.#partitions.get(number);
    if (this.#leases!.owns(number)) return partition?.live === true || partition?.stuck === true;
    const assignment = this.#assignmentOf(number, workers);
    if (assignment === "standby") return partition?.warm === true || partition?.stuck === true;
    return assignment !== "claim" || partition?.stuck === true;
  }
}
