/** One partition at work: its actor, wired to the log, the rooms, the publisher and the checkpoints. */
import { join } from "node:path";
import type { Logger } from "pino";
import { type ActorRefFrom, createActor, waitFor } from "xstate";
import { positionOf } from "../../actors/entry.ts";
import { type PartitionEvent, partitionMachine } from "../../actors/partition-machine.ts";
import type { Room } from "../../actors/room.ts";
import { type RoomRecord, Rooms } from "../../actors/rooms.ts";
import type { AckedPublisher } from "../bus/acked-publisher.ts";
import type { Bus } from "../bus/connection.ts";
import { publishedThrough } from "../bus/deltas.ts";
import { LogReader, lastSequence, readRecord } from "../bus/log.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { DRAIN_FOLD_MS_MAX, DRAIN_FOLD_POLL_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import { PartitionStore } from "../store/partition-store.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Publisher } from "./publisher.ts";

interface PartitionOptions {
  readonly nc: Bus;
  readonly acked: AckedPublisher;
  readonly partition: number;
  /** Where all partitions' checkpoints are. */
  readonly data: string;
  readonly log: Logger;
  /** ms since 1970 */
  readonly now: () => number;
  /** This partition's share of the process's active rooms. */
  readonly activeRoomsMax: number;
  readonly idleMs: number;
  readonly checkpointMs: number;
  readonly checkpointEntries: number;
}

/** What a partition has while it is claimed. */
interface Claimed {
  readonly store: PartitionStore;
  readonly rooms: Rooms;
  readonly publisher: Publisher;
  readonly checkpoints: Checkpoints;
}

export class Partition {
  readonly #options: PartitionOptions;
  readonly #actor: ActorRefFrom<typeof partitionMachine>;
  #claimed: Claimed | undefined;
  #folded = 0;
  #failure: unknown;

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#actor = createActor(partitionMachine, {
      input: {
        claim: () => this.#claim(),
        read: (send) => this.#read(send),
        fold: (fetch) => this.#fold(fetch),
        drain: () => this.#drain(),
        failed: (error) => this.#failed(error),
      },
    });
  }

  /** Folds the log; resolves once everything that was there is folded. Throws why it can't be. */
  async start(): Promise<void> {
    this.#actor.start();
    this.#actor.send({ type: "START" });
    await waitFor(this.#actor, (state) => this.live || state.matches("failed") || state.matches("released"));
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Folds what is in the log by now, publishes what waits, saves, and folds nothing more. */
  async stop(): Promise<void> {
    if (this.live) await this.#foldRest();
    this.#actor.send({ type: "DRAIN" });
    await waitFor(this.#actor, (state) => state.matches("released") || state.matches("failed"));
    this.#claimed?.publisher.close();
    this.#claimed?.checkpoints.close();
    await this.#claimed?.store.close();
  }

  /** Whether everything that was in the log at the start is folded, and what comes is. */
  get live(): boolean {
    return this.#actor.getSnapshot().matches({ folding: "live" });
  }

  /** A room, for reading, while the partition is live. */
  room(id: RoomId): Room {
    return this.#claimed!.rooms.get(id);
  }

  /** In one process there is nobody to share with: what is left is to find out where to go on. */
  async #claim(): Promise<void> {
    const { nc, acked, partition, data, log, now } = this.#options;
    const store = await PartitionStore.open(join(data, "state", String(partition)), log);
    await this.#checkMark(store);
    this.#folded = store.mark?.sequence ?? 0;
    // A checkpoint is written once everything in it is published.
    const published = Math.max(positionOf(this.#folded + 1, 0) - 1, await publishedThrough(nc, partition));
    const publisher = new Publisher({ partition, acked, published, log, startedAt: now() });
    const failed = (error: unknown) => this.#actor.send({ type: "FAIL", error });
    const rooms = new Rooms({
      store,
      folded: publisher.note,
      failed,
      max: this.#options.activeRoomsMax,
      idleMs: this.#options.idleMs,
      now: () => performance.now(),
    });
    const checkpoints = new Checkpoints({
      store,
      rooms,
      published: (through) => publisher.published(through),
      failed,
      everyMs: this.#options.checkpointMs,
      everyEntries: this.#options.checkpointEntries,
    });
    this.#claimed = { store, rooms, publisher, checkpoints };
  }

  /** Whether the checkpoint is of this log. */
  async #checkMark({ mark }: PartitionStore): Promise<void> {
    if (mark === undefined) return;
    const { nc, partition, data } = this.#options;
    const found = await readRecord(nc, partition, mark.sequence);
    const same =
      found !== undefined &&
      found.room === mark.room &&
      found.record.at === mark.at &&
      found.record.entries.length === mark.entries;
    if (same) return;
    const what = found === undefined ? "is ahead of its log" : "is of another log";
    throw new TidemarkError(
      "LOG_BROKEN",
      `the checkpoint of partition ${partition}, at record ${mark.sequence}, ${what}: the log was replaced, or this is another broker's data. Connect the right broker; or, if the log is right, delete ${join(data, "state")}, and it is rebuilt from the log.`,
    );
  }

  /** Reads the log until it is told to stop. Pauses while the publisher or a checkpoint can't follow. */
  #read(send: (event: PartitionEvent) => void): () => void {
    const { nc, partition } = this.#options;
    const { publisher, checkpoints } = this.#claimed!;
    let reader: LogReader | undefined;
    let stopped = false;
    let goal: number | undefined;
    const fail = (error: unknown) => send({ type: "FAIL", error });
    const caughtUp = () => {
      if (goal === undefined || this.#folded < goal) return;
      goal = undefined;
      send({ type: "CAUGHT_UP" });
    };
    const open = async () => {
      reader = await LogReader.open(nc, {
        partition,
        from: this.#folded + 1,
        onFetch: (fetch) => {
          send({ type: "RECORDS", fetch });
          caughtUp();
          if (publisher.overloaded || checkpoints.overloaded) void pause().catch(fail);
        },
        onError: fail,
      });
      if (stopped) reader.close();
    };
    const pause = async () => {
      reader?.close();
      await Promise.all([publisher.relieved(), checkpoints.done()]);
      if (!stopped) await open();
    };

    lastSequence(nc, partition)
      .then((last) => {
        goal = last;
        caughtUp();
        return open();
      })
      .catch(fail);
    return () => {
      stopped = true;
      reader?.close();
    };
  }

  #fold(fetch: readonly RoomRecord[]): void {
    const { rooms, checkpoints } = this.#claimed!;
    rooms.deliver(fetch);
    this.#folded = fetch.at(-1)!.record.sequence;
    checkpoints.folded(fetch);
  }

  /** What was acknowledged before a drain is told before its end. */
  async #foldRest(): Promise<void> {
    const { nc, partition, log } = this.#options;
    const deadline = AbortSignal.timeout(DRAIN_FOLD_MS_MAX);
    try {
      const last = await lastSequence(nc, partition);
      while (this.#folded < last && this.live && !deadline.aborted) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_FOLD_POLL_MS));
      }
    } catch (error) {
      log.warn({ partition, reason: reasonOf(error) }, "drained without the end of the log");
    }
  }

  async #drain(): Promise<void> {
    await this.#claimed?.publisher.drain();
    await this.#claimed?.checkpoints.drain();
  }

  #failed(error: unknown): void {
    this.#failure = error;
    this.#claimed?.publisher.close();
    this.#claimed?.checkpoints.close();
    const { partition, log } = this.#options;
    log.fatal({ partition, reason: reasonOf(error) }, "a partition has failed and is not served any more");
  }
}
