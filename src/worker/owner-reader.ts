/**
 * What an owner reads: the log from where it has folded it, and whatever is appended, without an end.
 *
 *     log ──▶ fold ──(the publisher or a checkpoint can't keep up)──▶ pause ──(they can)──▶ log
 *
 * It has caught up once everything is folded that the log had when it began.
 */
import type { PlacedRecord } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { untilReached } from "../bus/client/retry.ts";
import { lastSequence } from "../bus/log/log.ts";
import { LogReader } from "../bus/log/log-reader.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Publisher } from "./publisher.ts";

interface OwnerReaderOptions {
  readonly nc: Bus;
  readonly partition: number;
  /** The sequence through which everything is folded. */
  readonly folded: number;
  /** Records that the broker may send ahead. */
  readonly ahead: number;
  readonly publisher: Pick<Publisher, "overloaded" | "relieved">;
  readonly checkpoints: Pick<Checkpoints, "overloaded" | "done">;
  readonly fold: (fetch: readonly PlacedRecord[]) => void;
  readonly caughtUp: () => void;
  /** Called for each record that is appended while this reads: how far its clock is ahead of the broker's, ms. */
  readonly clockAhead: (aheadMs: number) => void;
  readonly failed: (error: unknown) => void;
}

export class OwnerReader {
  readonly #options: OwnerReaderOptions;
  readonly #closed = new AbortController();
  #folded: number;
  #end: number | undefined;
  #reader: LogReader | undefined;

  constructor(options: OwnerReaderOptions) {
    this.#options = options;
    this.#folded = options.folded;
    this.#begin().catch((error) => this.#failed(error));
  }

  /** The sequence at which the log ended when reading began; 0 while that is not known. */
  get end(): number {
    return this.#end ?? 0;
  }

  close(): void {
    this.#closed.abort();
    this.#reader?.close();
  }

  async #begin(): Promise<void> {
    const { nc, partition } = this.#options;
    this.#end = await untilReached(this.#closed.signal, () => lastSequence(nc, partition));
    if (this.#folded >= this.#end) this.#options.caughtUp();
    this.#open();
  }

  #open(): void {
    if (this.#closed.signal.aborted) return;
    const { nc, partition, ahead } = this.#options;
    this.#reader = new LogReader(nc, {
      partition,
      from: this.#folded + 1,
      ahead,
      onFetch: (fetch) => this.#fold(fetch),
      onStored: ({ sequence, at }, storedAt) => {
        if (sequence > this.end) this.#options.clockAhead(at - storedAt);
      },
      onError: (error) => this.#failed(error),
    });
  }

  #fold(fetch: readonly PlacedRecord[]): void {
    const { publisher, checkpoints, fold, caughtUp } = this.#options;
    const wasBehind = this.#folded < this.end;
    fold(fetch);
    this.#folded = fetch.at(-1)!.record.sequence;
    if (wasBehind && this.#folded >= this.end) caughtUp();
    if (publisher.overloaded || checkpoints.overloaded) this.#pause().catch((error) => this.#failed(error));
  }

  async #pause(): Promise<void> {
    const { publisher, checkpoints } = this.#options;
    this.#reader?.close();
    await Promise.all([publisher.relieved(), checkpoints.done()]);
    this.#open();
  }

  #failed(error: unknown): void {
    if (!this.#closed.signal.aborted) this.#options.failed(error);
  }
}
