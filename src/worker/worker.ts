/** The worker role: every partition that this process owns, and the questions about their rooms. */
import type { Logger } from "pino";
import { AckedPublisher } from "../bus/acked-publisher.ts";
import type { Bus } from "../bus/connection.ts";
import { MemoryStore } from "../store/memory.ts";
import type { FederationOptions } from "./federation.ts";
import { Partition } from "./partition.ts";
import { Queries } from "./queries.ts";

interface WorkerOptions {
  readonly nc: Bus;
  readonly partitions: number;
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
  static async start({ nc, partitions: count, federation, log, now = Date.now }: WorkerOptions): Promise<Worker> {
    const acked = new AckedPublisher(nc);
    const partitions = Array.from(
      { length: count },
      (_, partition) => new Partition({ nc, acked, partition, store: new MemoryStore(), federation, log, now }),
    );
    const started = await Promise.allSettled(partitions.map((partition) => partition.start()));
    const failed = started.find((result) => result.status === "rejected");
    if (failed !== undefined) {
      acked.close();
      await Promise.all(partitions.map((partition) => partition.stop()));
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
