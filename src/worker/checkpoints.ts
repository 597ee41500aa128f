/**
 * When a partition's checkpoints are written: at a fixed interval, after many entries, when too many rooms are active, and at the
 * end. While the partition catches up with its log the interval doesn't apply: entries lost in a crash are folded again just as
 * fast, and rows that change often are written less often.
 *
 *     due ──▶ collect (what changed, at this sequence) ──▶ publishes through it acknowledged ──▶ commit ──▶ passivate
 *
 * So a checkpoint never includes a change that may be unpublished: a worker that continues from it publishes everything after it,
 * and nothing else. One checkpoint is under way at a time; meanwhile changes collect for the next one, up to the size of a
 * checkpoint.
 */
import { lastPositionOf, type PlacedRecord, type Position } from "../../actors/entry.ts";
import type { Rooms } from "../../actors/room/rooms.ts";
import type { Checkpoint, Mark, PartitionStore } from "../store/partition-store.ts";

interface CheckpointsOptions {
  readonly store: PartitionStore;
  readonly rooms: Rooms;
  /** Resolves when everything through a position is published; undefined when it is already. */
  readonly published: (through: Position) => Promise<void> | undefined;
  /** Called when a checkpoint is committed, with the position through which everything is stored. */
  readonly stored: (through: Position) => void;
  readonly catchingUp: () => boolean;
  /** Called when folding is about to pause for the checkpoint under way. */
  readonly overloaded: () => void;
  readonly failed: (error: unknown) => void;
  /** Called with the time that each commit took. */
  readonly committed?: ((ms: number) => void) | undefined;
  readonly everyMs: number;
  readonly everyEntries: number;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  #timer: NodeJS.Timeout;
  #last: PlacedRecord | undefined;
  #entries = 0;
  #writing: Promise<void> | undefined;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    // At a random time, so that a process's partitions don't all write at once.
    this.#timer = setTimeout(() => {
      this.#timer = setInterval(() => this.#tick(), options.everyMs);
      this.#tick();
    }, options.everyMs * Math.random());
  }

  /** Whether so much has changed since the checkpoint under way began that folding should pause until `done`. */
  get overloaded(): boolean {
    const { rooms, everyEntries } = this.#options;
    return this.#writing !== undefined && (this.#entries >= everyEntries || rooms.crowded);
  }

  /** Resolves when no checkpoint is under way. */
  async done(): Promise<void> {
    await this.#writing;
  }

  /** Called once per fetch, after it is folded. */
  folded(fetch: readonly PlacedRecord[]): void {
    for (const { record } of fetch) this.#entries += record.entries.length;
    this.#last = fetch.at(-1);
    const { rooms, everyEntries } = this.#options;
    // Clean rooms are passivated first, so that many new rooms cost one checkpoint, not one each.
    if (rooms.crowded && this.#writing === undefined) rooms.passivate();
    if (this.#entries >= everyEntries || rooms.crowded) this.#begin();
    if (this.overloaded) this.#options.overloaded();
  }

  /** Writes a last checkpoint. Every change must be published, or on its way. */
  async drain(): Promise<void> {
    this.close();
    await this.#writing;
    this.#begin();
    await this.#writing;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (!this.#options.catchingUp()) this.#begin();
  }

  #begin(): void {
    if (this.#writing !== undefined) return;
    const { store, rooms, published } = this.#options;
    const last = this.#last;
    if (last === undefined) {
      rooms.passivate();
      return;
    }
    this.#last = undefined;
    this.#entries = 0;
    const changed = rooms.takeChanged();
    const mark = markOf(last);
    const publishing = published(lastPositionOf(last.record.sequence));
    if (publishing === undefined) {
      this.#commit({ mark, rooms: changed });
      return;
    }
    const checkpoint = store.collect(changed, mark);
    this.#writing = publishing
      .then(() => this.#commit(checkpoint))
      .finally(() => {
        this.#writing = undefined;
      });
  }

  #commit(checkpoint: Checkpoint): void {
    try {
      const { store, rooms, stored, committed } = this.#options;
      const began = performance.now();
      store.commit(checkpoint);
      committed?.(performance.now() - began);
      rooms.stored(checkpoint.rooms);
      stored(lastPositionOf(checkpoint.mark.sequence));
      rooms.passivate();
    } catch (error) {
      this.#options.failed(error);
    }
  }
}

function markOf({ room, record }: PlacedRecord): Mark {
  return { sequence: record.sequence, room: room ?? null, at: record.at, entries: record.entries.length };
}
