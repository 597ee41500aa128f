/** The worker role: every partition that this process owns, and the questions about their rooms. */
import type { Logger } from "pino";
import { AckedPublisher } from "../bus/acked-publisher.ts";
import type { Bus } from "../bus/connection.ts";
import { ACTIVE_ROOMS_MAX, CHECKPOINT_ENTRIES, CHECKPOINT_MS, IDLE_MS } from "../limits.ts";
import type { FederationOptions } from "./federation.ts";
import { Partition } from "./partition.ts";
import { Queries } from "./queries.ts";

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
}

export class Worker {
  readonly #acked: AckedPublisher;
  readonly #partitions: readonly Partition[];
  readonly #queries: Queries;

  private constructor(acked: AckedPublisher, partitions: readonly Partition[], queries: Queries) {
    this.#acked = acked;
    this.#partitions = partitions;
    this.#queries = queries;
  }

  /** Resolves when every partition is folded to the end that its log had. Throws when one can't be. */
  static async start(options: WorkerOptions): Promise<Worker> {
    const { nc, partitions: count, data, federation, log, now = Date.now } = options;
    const acked = new AckedPublisher(nc);
    const common = {
      nc,
      acked,
      data,
      federation,
      log,
      now,
      activeRoomsMax: Math.ceil((options.activeRoomsMax ?? ACTIVE_ROOMS_MAX) / count),
      idleMs: options.idleMs ?? IDLE_MS,
      checkpointMs: options.checkpointMs ?? CHECKPOINT_MS,
      checkpointEntries: options.checkpointEntries ?? CHECKPOINT_ENTRIES,
    };
    const partitions = Array.from({ length: count }, (_, partition) => new Partition({ ...common, partition }));
    const started = await Promise.allSettled(partitions.map((partition) => partition.start()));
    const failed = started.find((result) => result.status === "rejected");
    if (failed !== undefined) {
      await Promise.all(partitions.map((partition) => partition.stop()));
      acked.close();
      throw failed.reason;
    }
    return new Worker(acked, partitions, new Queries({ nc, partitions, log }));
  }

  /** Whether every partition is served. */
  get live(): boolean {
    return this.#partitions.every((partition) => partition.live);
  }

  /** Answers nothing more, and publishes what is folded. */
  async drain(): Promise<void> {
    await this.#queries.drain();
    await Promise.all(this.#partitions.map((partition) => partition.stop()));
    this.#acked.close();
  }
}
