/**
 * The worker role: the partitions that this process owns or stands by for, and the questions about their rooms.
 *
 * Whenever a lease, a worker or a partition's state has changed, and now and then, each partition's duty is looked up
 * (`actors/partition/placement.ts`) and done: stand by, claim, hand over, or leave it to others.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { type Duty, dutyOf, ranking } from "../../actors/partition/placement.ts";
import type { Outcome } from "../../actors/room/fold.ts";
import { AckedPublisher } from "../bus/client/acked-publisher.ts";
import type { Bus } from "../bus/client/connection.ts";
import type { WorkerRow } from "../bus/contract/lease-rows.ts";
import { LEASE_TIMES, Leases, type LeaseTimes } from "../bus/leases/leases.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { ACTIVE_ROOMS_MAX, CHECKPOINT_ENTRIES, CHECKPOINT_MS, IDLE_MS } from "../limits.ts";
import type { FederationOptions } from "./federation-publisher.ts";
import { workerId } from "./identity.ts";
import { Partition } from "./partition.ts";
import { Queries } from "./queries/queries.ts";

/**
 * Records that a process requests ahead of the fold, over all its partitions, and at least for each of them. They are on their
 * way together, and the broker cuts off a connection with more than 64 MiB pending.
 */
export const FETCH_RECORDS_MAX = 2_048;
const FETCH_RECORDS_MIN = 16;

/** How often a worker that is catching up reports its progress: to a progress bar, and in its log. */
const CATCH_UP_PROGRESS_MS = 200;
const CATCH_UP_LOG_MS = 10_000;

/** What is kept in memory, and how often the rest is written. */
export interface MemoryOptions {
  /** Rooms of the whole process. */
  readonly activeRoomsMax?: number;
  readonly idleMs?: number;
  readonly checkpointMs?: number;
  readonly checkpointEntries?: number;
}

interface WorkerOptions extends MemoryOptions {
  readonly nc: Bus;
  readonly partitions: number;
  /** Where checkpoints are kept. */
  readonly data: string;
  readonly federation: FederationOptions;
  readonly log: Logger;
  /** ms since 1970 */
  readonly now?: () => number;
  readonly leaseTimes?: LeaseTimes;
  /** Told now and then, until it is live, how many records of its logs are folded, and how many there are. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface WorkerCounts {
  /** Entries and settled receipts by outcome, those that a standby folded included. */
  readonly outcomes: Map<string, number>;
  /** Messages that were published. */
  deltas: number;
  /** Partitions that were claimed, handed over or lost. */
  leaseChanges: number;
}

export class Worker {
  readonly id: string;
  readonly #options: WorkerOptions;
  readonly #acked: AckedPublisher;
  readonly #queries: Queries;
  readonly #partitions = new Map<number, Partition>();
  /** Partitions that this process has failed at: others may have them, it stays away until it is started again. */
  readonly #failed = new Map<number, unknown>();
  /** What was given up, until it is closed: its store can't be opened before. */
  readonly #closing = new Map<number, Promise<void>>();
  #leases: Leases | undefined;
  #assigning = false;
  #draining = false;
  /** Why this process serves nothing any more, once another one runs with its data directory. */
  #superseded: TidemarkError | undefined;
  #said = "";
  #saidProgressAt = performance.now();
  #settled: (() => void) | undefined;
  /** What is counted since the process began. */
  readonly counts: WorkerCounts = { outcomes: new Map(), deltas: 0, leaseChanges: 0 };

  private constructor(options: WorkerOptions) {
    const { nc, partitions, data, log } = options;
    this.id = workerId(data);
    this.#options = options;
    this.#acked = new AckedPublisher(nc);
    const served = (partition: number) => {
      const found = this.#partitions.get(partition);
      return found?.live ? found : undefined;
    };
    this.#queries = new Queries({ nc, partitions, served, log });
  }

  /**
   * Resolves when every partition is served, here or by another worker, and those that this one is to have are folded to
   * the end. Throws when one of them can't be.
   */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options);
    try {
      await worker.#begin();
      if (worker.#superseded !== undefined) throw worker.#superseded;
      for (const failure of worker.#failed.values()) throw failure;
      return worker;
    } catch (error) {
      await worker.drain();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    this.#leases = await Leases.open({
      nc: this.#options.nc,
      worker: this.id,
      session: randomUUID(),
      times: this.#options.leaseTimes ?? LEASE_TIMES,
      report: () => this.#report(),
      changed: () => this.#changed(),
      lost: (partition) => this.#lost(partition),
      superseded: () => this.#supersede(),
    });
    this.#changed();
    const timer = setInterval(() => this.#tellProgress(), CATCH_UP_PROGRESS_MS);
    try {
      await settled;
    } finally {
      clearInterval(timer);
    }
    this.#tellProgress();
  }

  #tellProgress(): void {
    let done = 0;
    let total = 0;
    for (const { folded, end } of this.#partitions.values()) {
      done += Math.min(folded, end);
      total += end;
    }
    this.#options.onProgress?.(done, total);
    const now = performance.now();
    if (now - this.#saidProgressAt < CATCH_UP_LOG_MS) return;
    this.#saidProgressAt = now;
    this.#options.log.info({ folded: done, records: total }, "folding the log");
  }

  /** Whether every partition is served, here or by another worker, as far as can be seen from here. */
  get live(): boolean {
    return !this.#draining && this.#superseded === undefined && this.#failed.size === 0 && this.#isSettled();
  }

  /** By partition: what this process has of it. */
  get partitions(): ReadonlyMap<number, Partition> {
    return this.#partitions;
  }

  get failedPartitions(): number {
    return this.#failed.size;
  }

  /** Answers nothing more, publishes what is folded, and leaves its partitions to others. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#queries.drain();
    await this.#leases?.leave();
    await Promise.all([...this.#partitions.keys()].map((partition) => this.#giveUp(partition)));
    await Promise.all(this.#closing.values());
    await this.#queries.close();
    this.#leases?.close();
    this.#acked.close();
  }

  #report() {
    const warm: number[] = [];
    const folded: Record<number, number> = {};
    for (const [partition, tenancy] of this.#partitions) {
      if (tenancy.warm) warm.push(partition);
      folded[partition] = tenancy.folded;
    }
    return { warm, failed: [...this.#failed.keys()], folded };
  }

  /** Once what is under way has returned: a change may come from within one. */
  #changed(): void {
    if (this.#assigning) return;
    this.#assigning = true;
    queueMicrotask(() => {
      this.#assigning = false;
      if (this.#leases === undefined) return;
      this.#noteFailures();
      if (!this.#draining && this.#superseded === undefined) this.#assign();
      this.#queries.own();
      if (this.#isSettled() || this.#failed.size > 0) this.#settled?.();
      const { warm, failed } = this.#report();
      const said = JSON.stringify([warm, failed]);
      if (said !== this.#said) this.#leases.beat();
      this.#said = said;
    });
  }

  #assign(): void {
    const workers = this.#leases!.workers();
    for (let partition = 0; partition < this.#options.partitions; partition++) {
      if (this.#failed.has(partition) || this.#closing.has(partition)) continue;
      const duty = this.#dutyOf(partition, workers);
      const tenancy = this.#partitions.get(partition);
      if (duty === "none" && tenancy?.standsBy) void this.#giveUp(partition);
      if (duty === "handOver" && tenancy?.live) {
        this.#options.log.info({ partition }, "a partition is handed over");
        this.counts.leaseChanges++;
        void this.#giveUp(partition);
      }
      if ((duty === "standby" || duty === "claim") && tenancy === undefined) this.#standBy(partition);
      if (duty === "claim") this.#claim(partition);
    }
  }

  #dutyOf(partition: number, workers: ReadonlyMap<string, WorkerRow>): Duty {
    const able = [...workers].filter(([, { failed }]) => !failed.includes(partition)).map(([id]) => id);
    return dutyOf({
      me: this.id,
      ranking: ranking(partition, able),
      holder: this.#leases!.owner(partition),
      freeMs: this.#leases!.freeMs(partition),
      isWarm: (worker) => workers.get(worker)?.warm.includes(partition) ?? false,
    });
  }

  #standBy(partition: number): void {
    const { nc, data, federation, log, now = Date.now, partitions: count } = this.#options;
    const leases = this.#leases!;
    this.#partitions.set(
      partition,
      new Partition({
        nc,
        acked: {
          publish: (...message) => {
            this.counts.deltas++;
            return this.#acked.publish(...message);
          },
        },
        counted: (outcome) => this.#count(outcome),
        leases,
        partition,
        data,
        federation,
        log,
        now,
        memory: {
          activeRoomsMax: Math.ceil((this.#options.activeRoomsMax ?? ACTIVE_ROOMS_MAX) / count),
          idleMs: this.#options.idleMs ?? IDLE_MS,
          checkpointMs: this.#options.checkpointMs ?? CHECKPOINT_MS,
          checkpointEntries: this.#options.checkpointEntries ?? CHECKPOINT_ENTRIES,
        },
        ahead: Math.max(FETCH_RECORDS_MIN, Math.floor(FETCH_RECORDS_MAX / count)),
        changed: () => this.#changed(),
      }),
    );
  }

  #count(outcome: Outcome): void {
    this.#add(outcome.outcome);
    if (outcome.outcome === "ordered") for (const { judgement } of outcome.settled) this.#add(judgement.outcome);
    else if (outcome.outcome === "held" && outcome.overflow !== undefined) this.#add("rejected");
  }

  #add(name: string): void {
    const { outcomes } = this.counts;
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
  }

  #claim(partition: number): void {
    const tenancy = this.#partitions.get(partition);
    if (!tenancy?.standsBy) return;
    this.counts.leaseChanges++;
    tenancy.claim();
  }

  async #giveUp(partition: number): Promise<void> {
    const tenancy = this.#partitions.get(partition);
    if (tenancy === undefined) return;
    const closing = tenancy
      .stop()
      .catch((error) => {
        this.#options.log.error({ partition, reason: reasonOf(error) }, "a partition did not end in order");
      })
      .finally(() => {
        this.#partitions.delete(partition);
        this.#closing.delete(partition);
        this.#changed();
      });
    this.#closing.set(partition, closing);
    await closing;
  }

  #lost(partition: number): void {
    this.#options.log.warn({ partition }, "the lease of a partition ran out: another worker may have it");
    this.counts.leaseChanges++;
    this.#partitions.get(partition)?.lose();
    void this.#giveUp(partition);
  }

  #noteFailures(): void {
    for (const [partition, tenancy] of this.#partitions) {
      if (tenancy.state !== "failed" || this.#failed.has(partition)) continue;
      this.#failed.set(partition, tenancy.failure);
      void this.#giveUp(partition);
    }
  }

  #supersede(): void {
    const error = new TidemarkError(
      "BUS_MISMATCH",
      `another process runs with ${this.#options.data}: each worker needs a data directory of its own`,
    );
    this.#superseded = error;
    this.#options.log.fatal({ worker: this.id }, error.message);
    for (const partition of [...this.#partitions.keys()]) {
      this.#partitions.get(partition)?.lose();
      void this.#giveUp(partition);
    }
    this.#settled?.();
  }

  #isSettled(): boolean {
    const leases = this.#leases;
    if (leases === undefined) return false;
    const workers = leases.workers();
    for (let partition = 0; partition < this.#options.partitions; partition++) {
      const holder = leases.owner(partition);
      if (holder === undefined) return false;
      const tenancy = this.#partitions.get(partition);
      if (holder === this.id && !tenancy?.live) return false;
      if (this.#dutyOf(partition, workers) === "standby" && !tenancy?.warm) return false;
    }
    return true;
  }
}
