/**
 * Publishes a partition's deltas (docs/design.md#what-is-published), at least once.
 *
 *     add ──▶ changes ──(the room's window is over, no flush is under way)──▶ events ──acks──▶ markers ──acks
 *
 * - A room that was not flushed for `FLUSH_WINDOW_MS` is flushed at once, another one when that time is over. Until then,
 *   later moves of a marker replace earlier ones.
 * - One flush at a time: a slow broker makes deltas larger, not more.
 * - A marker is never published before its event: a flush sends markers once its events are acknowledged.
 * - A message that the broker does not acknowledge is sent again, without end. Deltas are idempotent.
 * - Rejections are sent at the beginning of a flush, which doesn't wait for them.
 *
 * How a restart knows what was published: a header of every message names the position through which the partition
 * was published when it was sent, and a mark outlives the messages (`../bus/deltas/published-mark.ts`). After a replay, everything
 * that changed beyond them is published again, and readers drop what they have.
 */
import type { Logger } from "pino";
import type { Position } from "../../actors/entry.ts";
import { Changes, type RoomDelta } from "../../actors/partition/changes.ts";
import { FOLD_VERSION, type Folded } from "../../actors/room/fold.ts";
import { type AckedPublisher, type Outgoing, sendAll } from "../bus/client/acked-publisher.ts";
import { deltaHeaders } from "../bus/deltas/published-header.ts";
import type { Notice } from "../conditions.ts";
import { FLUSH_WINDOW_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import { eventMessages, markerMessages, rejectionMessages } from "./delta-messages.ts";
import type { FederationPublisher } from "./federation-publisher.ts";
import { RejectionPublisher } from "./rejection-publisher.ts";

/** Rooms that one flush publishes. */
const FLUSH_ROOMS_MAX = 1_024;

/** Unpublished changes at which a partition stops reading its log, and at which it goes on. */
export const PENDING_CHANGES_MAX = 65_536;
export const PENDING_CHANGES_RESUME = 8_192;

interface PublisherOptions {
  readonly partition: number;
  readonly acked: Pick<AckedPublisher, "publish">;
  /** Changes that it has not published count as unpublished here, too. Default: nothing is sent to other servers. */
  readonly federation?: FederationPublisher;
  /** The position through which the partition is published already. */
  readonly published: Position;
  /** Of the log; empty before its first record. Default: always empty. */
  readonly lineage?: () => string;
  /** Called after each flush. */
  readonly flushed?: () => void;
  /** Says whether messages are sent again because the stream has not acknowledged them. Default: nobody is told. */
  readonly unacknowledged?: Notice;
  /** The same for rejections. */
  readonly rejectionsUnacknowledged?: Notice;
  readonly log: Logger;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #changes = new Changes();
  readonly #rejections: RejectionPublisher;
  /** Nothing through this position is published here. */
  #skipped: Position;
  /** Rooms whose window is over. */
  readonly #due = new Set<RoomId>();
  /** When each room was flushed whose window is not over (`performance.now()`), the earliest first. */
  readonly #flushedAt = new Map<RoomId, number>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #scheduled = false;
  #closed = false;
  #relieved: (() => void) | undefined;
  /** The oldest change of the flush under way. */
  #flushingSince = Number.POSITIVE_INFINITY;
  #waiting: { readonly through: Position; readonly resolve: () => void }[] = [];

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#skipped = options.published;
    this.#rejections = new RejectionPublisher({
      ...options,
      unacknowledged: options.rejectionsUnacknowledged,
      settled: () => this.#settle(),
    });
  }

  /** Publishes nothing through a position. Called before any of it is added. */
  passOver(through: Position): void {
    this.#skipped = Math.max(this.#skipped, through);
  }

  /** Called once per entry, after it is folded, in log order. */
  readonly add: Folded = (room, folded) => {
    const isPublished = folded.position <= this.#skipped;
    const { federation } = this.#options;
    federation?.add(room, folded, isPublished);
    if (!this.#changes.add(room, folded, isPublished)) return;
    if (this.#flushedAt.has(room.id)) return;
    this.#due.add(room.id);
    this.#schedule();
  };

  /** Whether there are so many unpublished changes that folding should pause until `relieved`. */
  get overloaded(): boolean {
    return this.#changes.size >= PENDING_CHANGES_MAX;
  }

  /** Resolves when folding may go on. */
  relieved(): Promise<void> {
    return new Promise((resolve) => {
      this.#relieved = resolve;
      this.#relieve();
    });
  }

  /** Resolves when every change through a position is published; undefined when it is already. */
  published(through: Position): Promise<void> | undefined {
    if (through <= this.through()) return undefined;
    const deltas = new Promise<void>((resolve) => {
      this.#waiting.push({ through, resolve });
      this.#settle();
    });
    return Promise.all([deltas, this.#options.federation?.published(through)]).then(() => {});
  }

  /** See `FederationPublisher`. */
  releaseBacklog(): void {
    this.#options.federation?.releaseBacklog();
  }

  /** Publishes everything, without waiting for windows. */
  async drain(): Promise<void> {
    await this.#options.federation?.drain();
    clearTimeout(this.#timer);
    this.#flushedAt.clear();
    while (!this.#closed && (this.#changes.oldest() !== undefined || this.#flushing !== undefined)) {
      for (const room of this.#changes.rooms()) this.#due.add(room);
      await (this.#flushing ?? this.#flush());
    }
    await this.#rejections.drain();
  }

  /** Drops unpublished changes: the next owner publishes them from the log. */
  close(): void {
    this.#closed = true;
    this.#options.unacknowledged?.(false);
    clearTimeout(this.#timer);
    this.#rejections.close();
    this.#options.federation?.close();
  }

  /** Flushes once the current fetch is folded: microtasks run after it. */
  #schedule(): void {
    if (this.#scheduled || this.#flushing !== undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#flushing === undefined) void this.#flush();
    });
  }

  #flush(): Promise<void> {
    this.#flushing = this.#flushDue().finally(() => {
      this.#flushing = undefined;
      if (!this.#closed) this.#flushingSince = Number.POSITIVE_INFINITY;
      this.#relieve();
      this.#settle();
      this.#options.flushed?.();
      if (this.#due.size > 0 && !this.#closed) this.#schedule();
    });
    return this.#flushing;
  }

  async #flushDue(): Promise<void> {
    if (this.#closed) return;
    const deltas: RoomDelta[] = [];
    let since = Number.POSITIVE_INFINITY;
    const now = performance.now();
    for (const room of this.#due) {
      if (deltas.length === FLUSH_ROOMS_MAX) break;
      this.#due.delete(room);
      const delta = this.#changes.take(room);
      if (delta === undefined) continue;
      deltas.push(delta);
      since = Math.min(since, delta.since);
      this.#flushedAt.delete(room);
      this.#flushedAt.set(room, now);
    }
    if (deltas.length === 0) return;
    this.#armTimer();

    const { partition } = this.#options;
    this.#flushingSince = since;
    const through = this.through();
    // Both are built now: while the events are sent, markers may move on to events that are not in this delta.
    const events = deltas.flatMap((delta) => eventMessages(partition, delta));
    const markers = deltas.flatMap((delta) => markerMessages(partition, delta));
    for (const delta of deltas) this.#rejections.send(rejectionMessages(partition, delta), delta.since);
    await this.#send(events, through);
    if (!this.#closed) await this.#send(markers, through);
  }

  /** Sends until the streams have acknowledged all of it. */
  async #send(messages: readonly Outgoing[], through: Position): Promise<void> {
    const { acked, lineage, unacknowledged } = this.#options;
    await sendAll(acked, messages, {
      headers: deltaHeaders({ published: through, lineage: lineage?.() ?? "", fold: FOLD_VERSION }),
      closed: () => this.#closed,
      again: (left, reason) => unacknowledged?.(true, { messages: left, reason }),
    });
    unacknowledged?.(false);
  }

  /** Sets the timer to the end of the first window. */
  #armTimer(): void {
    clearTimeout(this.#timer);
    const first = this.#flushedAt.values().next();
    if (first.done || this.#closed) return;
    const wait = Math.max(0, first.value + FLUSH_WINDOW_MS - performance.now());
    this.#timer = setTimeout(() => this.#windowsOver(), wait);
  }

  #windowsOver(): void {
    const over = performance.now() - FLUSH_WINDOW_MS;
    for (const [room, flushed] of this.#flushedAt) {
      if (flushed > over) break;
      this.#flushedAt.delete(room);
      if (this.#changes.has(room)) this.#due.add(room);
    }
    this.#armTimer();
    if (this.#due.size > 0) this.#schedule();
  }

  /** The position through which everything that was added is published; infinite when nothing waits. */
  through(): Position {
    const { federation } = this.#options;
    return Math.min(this.#throughDeltas(), (federation?.oldest() ?? Number.POSITIVE_INFINITY) - 1);
  }

  /** The position through which all deltas are published; infinite when none waits. */
  deltasThrough(): Position {
    return Math.min(this.#flushingSince, this.#changes.oldest() ?? Number.POSITIVE_INFINITY) - 1;
  }

  /** The position through which all deltas and rejections are published. */
  #throughDeltas(): Position {
    return Math.min(this.deltasThrough(), (this.#rejections.oldest() ?? Number.POSITIVE_INFINITY) - 1);
  }

  /** Receipts that wait to be published for other servers. */
  get federationWaiting(): number {
    return this.#options.federation?.waiting ?? 0;
  }

  #settle(): void {
    if (this.#waiting.length === 0) return;
    const through = this.#throughDeltas();
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.through > through) return true;
      waiting.resolve();
      return false;
    });
  }

  #relieve(): void {
    if (this.#relieved === undefined || this.#changes.size > PENDING_CHANGES_RESUME) return;
    this.#relieved();
    this.#relieved = undefined;
  }
}
