/** One partition at work: its actor, wired to the log, the rooms and the publisher. */
import type { Logger } from "pino";
import { type ActorRefFrom, createActor, waitFor } from "xstate";
import { type PartitionEvent, partitionMachine } from "../../actors/partition-machine.ts";
import type { Room } from "../../actors/room.ts";
import type { RoomStore } from "../../actors/room-store.ts";
import { type RoomRecord, Rooms } from "../../actors/rooms.ts";
import type { AckedPublisher } from "../bus/acked-publisher.ts";
import type { Bus } from "../bus/connection.ts";
import { publishedThrough } from "../bus/deltas.ts";
import { LogReader, lastSequence } from "../bus/log.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import type { RoomId } from "../matrix/ids.ts";
import { Memberships } from "./memberships.ts";
import { Publisher } from "./publisher.ts";

interface PartitionOptions {
  readonly nc: Bus;
  readonly acked: AckedPublisher;
  readonly partition: number;
  readonly store: RoomStore;
  readonly log: Logger;
  /** ms since 1970 */
  readonly now: () => number;
}

export class Partition {
  readonly #options: PartitionOptions;
  readonly #actor: ActorRefFrom<typeof partitionMachine>;
  readonly #rooms: Rooms;
  /** Who is in which of its rooms. */
  readonly memberships = new Memberships();
  #publisher: Publisher | undefined;
  #folded: number;
  #failure: unknown;

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#folded = options.store.folded;
    this.#rooms = new Rooms(
      options.store,
      (room, position, at, entry, outcome) => {
        this.memberships.note(room, position, entry);
        this.#publisher?.note(room, position, at, entry, outcome);
      },
      (error) => this.#actor.send({ type: "FAIL", error }),
    );
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

  /** Publishes what waits, saves, and folds nothing more. */
  async stop(): Promise<void> {
    this.#actor.send({ type: "DRAIN" });
    await waitFor(this.#actor, (state) => state.matches("released") || state.matches("failed"));
    this.#publisher?.close();
  }

  /** Whether everything that was in the log at the start is folded, and what comes is. */
  get live(): boolean {
    return this.#actor.getSnapshot().matches({ folding: "live" });
  }

  /** A room, for reading. */
  room(id: RoomId): Room {
    return this.#rooms.get(id);
  }

  /** In one process there is nobody to share with: what is left is to learn what the owner before published. */
  async #claim(): Promise<void> {
    const { nc, acked, partition, log, now } = this.#options;
    const published = await publishedThrough(nc, partition);
    this.#publisher = new Publisher({ partition, acked, published, log, startedAt: now() });
  }

  /** Reads the log until it is told to stop. Pauses while the publisher can't follow. */
  #read(send: (event: PartitionEvent) => void): () => void {
    const { nc, partition } = this.#options;
    let reader: LogReader | undefined;
    let stopped = false;
    let goal: number | undefined;
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
          if (this.#publisher?.overloaded) void pause().catch(fail);
        },
        onError: fail,
      });
      if (stopped) reader.close();
    };
    const pause = async () => {
      reader?.close();
      await this.#publisher?.relieved();
      if (!stopped) await open();
    };
    const fail = (error: unknown) => send({ type: "FAIL", error });

    lastSequence(nc, partition)
      .then((last) => {
        if (last < this.#folded) {
          throw new TidemarkError(
            "LOG_BROKEN",
            `partition ${partition} has folded ${this.#folded} records, and its log ends at ${last}: it was replaced`,
          );
        }
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
    this.#rooms.deliver(fetch);
    this.#folded = fetch.at(-1)!.record.sequence;
  }

  async #drain(): Promise<void> {
    await this.#publisher?.drain();
    this.#rooms.passivate();
  }

  #failed(error: unknown): void {
    this.#failure = error;
    this.#publisher?.close();
    const { partition, log } = this.#options;
    log.fatal({ partition, reason: reasonOf(error) }, "a partition has failed and is not served any more");
  }
}
