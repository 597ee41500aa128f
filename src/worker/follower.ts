/**
 * What a standby reads: the log as far as its owner has published it, and no further.
 *
 *     log ──▶ waiting ──(the owner has published it)──▶ fold
 *
 * So everything that a standby has folded is published, and it has nothing to publish itself. When it becomes the owner, it
 * folds the rest of the log, which is what the owner before it read in its last moments, and publishes that.
 */
import { lastPositionOf, type PlacedRecord, type Position } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { untilReached } from "../bus/client/retry.ts";
import type { LastingSubscription } from "../bus/client/subscribe.ts";
import { onPublished } from "../bus/deltas/published-announcement.ts";
import { type MarkedLog, publishedPosition } from "../bus/deltas/published-mark.ts";
import { LogReader } from "../bus/log/log-reader.ts";

/** Records that a standby has read and may not fold yet, at which it stops reading. */
const STANDBY_RECORDS_MAX = 4_096;

interface FollowerOptions extends MarkedLog {
  readonly nc: Bus;
  /** The sequence through which everything is folded. */
  readonly folded: number;
  /** Records that the broker may send ahead. */
  readonly ahead: number;
  readonly fold: (fetch: readonly PlacedRecord[]) => void;
  /** Called once, when everything is folded that the owner had published when it was first heard. */
  readonly caughtUp: () => void;
  readonly failed: (error: unknown) => void;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #subscription: LastingSubscription;
  readonly #closed = new AbortController();
  #published: Position = 0;
  #folded: number;
  #waiting: PlacedRecord[] = [];
  #reader: LogReader | undefined;
  #goal: Position | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#folded = options.folded;
    this.#subscription = onPublished(options.nc, options.partition, (through) => this.#heard(through));
    this.#begin().catch((error) => {
      if (!this.#closed.signal.aborted) options.failed(error);
    });
  }

  close(): void {
    this.#closed.abort();
    this.#subscription.unsubscribe();
    this.#reader?.close();
  }

  /** An owner that is gone is not heard, so what it has published is read as well. */
  async #begin(): Promise<void> {
    const published = await untilReached(this.#closed.signal, () => publishedPosition(this.#options.nc, this.#options));
    this.#published = Math.max(this.#published, published ?? 0);
    this.#fold();
  }

  #heard(through: Position): void {
    if (this.#closed.signal.aborted) return;
    this.#published = Math.max(this.#published, through);
    if (this.#goal === undefined) this.#goal = through;
    this.#fold();
    this.#arrived();
  }

  /** Also called whenever the owner is heard, which happens at intervals. */
  #arrived(): void {
    if (this.#goal === undefined || lastPositionOf(this.#folded) < this.#goal) return;
    this.#goal = Number.POSITIVE_INFINITY;
    this.#options.caughtUp();
  }

  #fold(): void {
    let count = 0;
    while (count < this.#waiting.length && lastPositionOf(this.#waiting[count]!.record.sequence) <= this.#published)
      count++;
    if (count > 0) {
      const fetch = this.#waiting.slice(0, count);
      this.#waiting = this.#waiting.slice(count);
      this.#folded = fetch.at(-1)!.record.sequence;
      this.#options.fold(fetch);
    }
    if (this.#reader === undefined && this.#waiting.length === 0) this.#open();
  }

  #open(): void {
    if (this.#closed.signal.aborted) return;
    const { nc, partition, ahead, failed } = this.#options;
    const onFetch = (fetch: PlacedRecord[]) => {
      this.#waiting = this.#waiting.length === 0 ? fetch : this.#waiting.concat(fetch);
      this.#fold();
      this.#arrived();
      if (this.#waiting.length < STANDBY_RECORDS_MAX) return;
      this.#reader?.close();
      this.#reader = undefined;
    };
    this.#reader = new LogReader(nc, { partition, from: this.#folded + 1, ahead, onFetch, onError: failed });
  }
}
