/**
 * One partition at work: its actor, wired to the lease, the log, the rooms, the publisher and the checkpoints.
 *
 * An object of this class is one tenancy: it stands by, may come to own the partition, and ends when it gives it up or
 * loses it. Whoever stands by again begins from the checkpoint.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import { type ActorRefFrom, createActor, type SnapshotFrom, waitFor } from "xstate";
import { lastPositionOf, type PlacedRecord, type Position } from "../../actors/entry.ts";
import { type PartitionEvent, partitionMachine } from "../../actors/partition/machine.ts";
import type { Outcome } from "../../actors/room/fold.ts";
import type { Room } from "../../actors/room/room.ts";
import { Rooms } from "../../actors/room/rooms.ts";
import type { AckedPublisher } from "../bus/client/acked-publisher.ts";
import type { Bus } from "../bus/client/connection.ts";
import { untilReached } from "../bus/client/retry.ts";
import type { Membership } from "../bus/contract/questions.ts";
import { PublishedAnnouncer } from "../bus/deltas/published-announcement.ts";
import { publishedThrough } from "../bus/deltas/published-header.ts";
import { logEnd, recordAt } from "../bus/log/log.ts";
import { LogReader } from "../bus/log/log-reader.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { DRAIN_FOLD_MS_MAX, DRAIN_FOLD_POLL_MS } from "../limits.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { PartitionStore } from "../store/partition-store.ts";
import { Checkpoints } from "./checkpoints.ts";
import { type FederationOptions, FederationPublisher } from "./federation-publisher.ts";
import { Follower } from "./follower.ts";
import { Memberships } from "./memberships.ts";
import { Publisher } from "./publisher.ts";

/** The owner lease of a partition. */
interface Lease {
  /** Resolves to the position through which its last holder had published, undefined when it can't be had. */
  claim(partition: number): Promise<Position | undefined>;
  release(partition: number, published: Position): Promise<void>;
}

interface PartitionOptions {
  readonly nc: Bus;
  readonly acked: Pick<AckedPublisher, "publish">;
  readonly lease: Lease;
  readonly partition: number;
  /** Where all partitions' checkpoints are. */
  readonly data: string;
  readonly federation: FederationOptions;
  readonly log: Logger;
  /** ms since 1970 */
  readonly now: () => number;
  /** This partition's share of the process's active rooms. */
  readonly activeRoomsMax: number;
  /** This partition's share of the records that the process asks its logs for ahead. */
  readonly ahead: number;
  readonly idleMs: number;
  readonly checkpointMs: number;
  readonly checkpointEntries: number;
  /** It is in another state than before. */
  readonly changed: () => void;
  /** Told of every entry that is folded. */
  readonly counted: (outcome: Outcome) => void;
}

/** What a partition has from its first moment on. */
interface Opened {
  readonly store: PartitionStore;
  readonly rooms: Rooms;
  readonly memberships: Memberships;
  readonly checkpoints: Checkpoints;
}

export type PartitionState = "standby" | "claiming" | "catchingUp" | "live" | "draining" | "released" | "failed";

export class Partition {
  readonly #options: PartitionOptions;
  readonly #actor: ActorRefFrom<typeof partitionMachine>;
  readonly #ended = new AbortController();
  readonly #opening: Promise<Opened>;
  #state: PartitionState;
  #opened: Opened | undefined;
  #claiming: Promise<boolean> | undefined;
  /** Of a standby one that has nothing to say. */
  #publisher: Publisher;
  #announcer: PublishedAnnouncer | undefined;
  #folded = 0;
  #end = 0;
  #isWarm = false;
  #failure: unknown;

  /** Stands by. */
  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#publisher = this.#publisherFrom(Number.POSITIVE_INFINITY);
    this.#opening = this.#open();
    this.#opening.catch(() => {}); // Whoever needs it gets the rejection.
    this.#actor = createActor(partitionMachine, {
      input: {
        follow: (send) => this.#follow(send),
        claim: (signal) => {
          this.#claiming = this.#claim(signal);
          return this.#claiming;
        },
        read: (send) => this.#read(send),
        fold: (fetch) => this.#fold(fetch),
        drain: () => this.#drain(),
        abandon: () => this.#close(),
        failed: (error) => this.#failed(error),
      },
    });
    this.#state = stateOf(this.#actor.getSnapshot());
    // Told of every input, and most are records.
    this.#actor.subscribe((snapshot) => {
      const state = stateOf(snapshot);
      if (state === this.#state) return;
      this.#state = state;
      options.changed();
    });
    this.#actor.start();
    this.#actor.send({ type: "START" });
  }

  /** Tries to become the owner. */
  claim(): void {
    this.#actor.send({ type: "CLAIM" });
  }

  /** The lease ran out: folds and publishes nothing more. */
  lose(): void {
    this.#actor.send({ type: "LOSE" });
  }

  /** Of an owner: folds what is in the log by now, publishes what waits, gives up the lease. Then saves. */
  async stop(): Promise<void> {
    if (this.live) await this.#foldRest();
    this.#actor.send({ type: "DRAIN" });
    await waitFor(this.#actor, (state) => state.matches("released") || state.matches("failed"));
    await this.#opening.catch(() => {});
    this.#close();
    await this.#opened?.store.close();
  }

  get state(): PartitionState {
    return this.#state;
  }

  /** Whether everything that was in the log when it was claimed is folded, and what comes is. */
  get live(): boolean {
    return this.state === "live";
  }

  /** Whether it is the owner, or could be at once. */
  get warm(): boolean {
    return this.live || (this.#isWarm && (this.state === "standby" || this.state === "claiming"));
  }

  /** The sequence through which it has folded. */
  get folded(): number {
    return this.#folded;
  }

  /** Where its log ended when it began to fold it, as a sequence. */
  get end(): number {
    return this.#end;
  }

  /** Why it failed. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Its active rooms, once there are any. */
  get rooms(): Rooms | undefined {
    return this.#opened?.rooms;
  }

  /** A room, for reading, while the partition is live. */
  room(id: RoomId): Room {
    return this.#opened!.rooms.get(id);
  }

  /** A user's memberships in its rooms, while the partition is live. */
  roomsOf(user: UserId): ReadonlyMap<RoomId, Membership> {
    return this.#opened!.memberships.of(user);
  }

  async #open(): Promise<Opened> {
    const { partition, data, log } = this.#options;
    const store = await PartitionStore.open(join(data, "state", String(partition)), log);
    try {
      await untilReached(this.#ended.signal, () => this.#checkMark(store));
    } catch (error) {
      await store.close();
      throw error;
    }
    this.#folded = store.mark?.sequence ?? 0;
    const failed = (error: unknown) => this.#actor.send({ type: "FAIL", error });
    const memberships = new Memberships(store);
    const rooms = new Rooms({
      store,
      folded: (room, position, at, entry, outcome) => {
        this.#options.counted(outcome);
        memberships.note(room, position, entry);
        this.#publisher.note(room, position, at, entry, outcome);
      },
      failed,
      max: this.#options.activeRoomsMax,
      idleMs: this.#options.idleMs,
      now: () => performance.now(),
    });
    const checkpoints = new Checkpoints({
      store,
      rooms,
      published: (through) => this.#publisher.published(through),
      stored: (through) => memberships.stored(through),
      catchingUp: () => this.state === "catchingUp",
      failed,
      everyMs: this.#options.checkpointMs,
      everyEntries: this.#options.checkpointEntries,
    });
    this.#opened = { store, rooms, memberships, checkpoints };
    if (this.#ended.signal.aborted) checkpoints.close();
    return this.#opened;
  }

  #publisherFrom(published: number): Publisher {
    const { partition, acked, log, now } = this.#options;
    const federation = new FederationPublisher({ ...this.#options.federation, partition, acked, log });
    return new Publisher({ partition, acked, federation, published, log, startedAt: now() });
  }

  /** Folds what the owner has published, until the returned function is called. */
  #follow(send: (event: PartitionEvent) => void): () => void {
    const { nc, partition, ahead, changed } = this.#options;
    const failed = (error: unknown) => send({ type: "FAIL", error });
    let follower: Follower | undefined;
    let stopped = false;
    const begin = async () => {
      await this.#opening;
      if (stopped) return;
      const published = await untilReached(this.#ended.signal, () => publishedThrough(nc, partition));
      if (stopped) return;
      follower = new Follower({
        nc,
        partition,
        folded: this.#folded,
        published,
        ahead,
        fold: (fetch) => send({ type: "RECORDS", fetch }),
        caughtUp: () => {
          this.#isWarm = true;
          changed();
        },
        failed,
      });
    };
    begin().catch((error) => {
      if (!stopped) failed(error);
    });
    return () => {
      stopped = true;
      follower?.close();
    };
  }

  /** Gets the lease, and finds out where to go on with publishing. */
  async #claim(signal: AbortSignal): Promise<boolean> {
    const { nc, lease, partition } = this.#options;
    await this.#opening;
    const left = await untilReached(signal, () => lease.claim(partition));
    if (left === undefined || signal.aborted) return false;
    const stored = await untilReached(signal, () => publishedThrough(nc, partition));
    // What is folded is published: a checkpoint is written after that, and a standby folds after it.
    const published = Math.max(this.#lastFolded, stored, left);
    if (signal.aborted) return false;
    this.#publisher = this.#publisherFrom(published);
    this.#announcer = new PublishedAnnouncer(nc, partition, () => this.#publishedThrough);
    return true;
  }

  get #lastFolded(): number {
    return lastPositionOf(this.#folded);
  }

  get #publishedThrough(): Position {
    return Math.min(this.#publisher.through(), this.#lastFolded);
  }

  /** Whether the checkpoint is of this log. */
  async #checkMark({ mark }: PartitionStore): Promise<void> {
    if (mark === undefined) return;
    const { nc, partition, data } = this.#options;
    const found = await recordAt(nc, partition, mark.sequence);
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
    const { nc, partition, ahead } = this.#options;
    const { checkpoints } = this.#opened!;
    const publisher = this.#publisher;
    let reader: LogReader | undefined;
    let stopped = false;
    let isBehind = false;
    const fail = (error: unknown) => {
      if (!stopped) send({ type: "FAIL", error });
    };
    const caughtUp = () => {
      if (!isBehind || this.#folded < this.#end) return;
      isBehind = false;
      send({ type: "CAUGHT_UP" });
    };
    const open = () => {
      const onFetch = (fetch: PlacedRecord[]) => {
        send({ type: "RECORDS", fetch });
        caughtUp();
        if (publisher.overloaded || checkpoints.overloaded) void pause().catch(fail);
      };
      reader = new LogReader(nc, { partition, from: this.#folded + 1, ahead, onFetch, onError: fail });
    };
    const pause = async () => {
      reader?.close();
      await Promise.all([publisher.relieved(), checkpoints.done()]);
      if (!stopped) open();
    };

    untilReached(this.#ended.signal, () => logEnd(nc, partition))
      .then(({ sequence }) => {
        this.#end = sequence;
        isBehind = true;
        caughtUp();
        if (!stopped) open();
      })
      .catch(fail);
    return () => {
      stopped = true;
      reader?.close();
    };
  }

  #fold(fetch: readonly PlacedRecord[]): void {
    const { rooms, checkpoints } = this.#opened!;
    rooms.deliver(fetch);
    this.#folded = fetch.at(-1)!.record.sequence;
    checkpoints.folded(fetch);
  }

  /** What was acknowledged before a drain is told before its end. */
  async #foldRest(): Promise<void> {
    const { nc, partition, log } = this.#options;
    const deadline = AbortSignal.timeout(DRAIN_FOLD_MS_MAX);
    try {
      const { sequence: last } = await logEnd(nc, partition);
      while (this.#folded < last && this.live && !deadline.aborted) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_FOLD_POLL_MS));
      }
    } catch (error) {
      log.warn({ partition, reason: reasonOf(error) }, "drained without the end of the log");
    }
  }

  async #drain(): Promise<void> {
    const { lease, partition, log } = this.#options;
    await this.#opening;
    await this.#claiming?.catch(() => {}); // What it got is given up below.
    await this.#publisher.drain();
    this.#announcer?.announce();
    await lease.release(partition, this.#publishedThrough).catch((error) => {
      log.warn({ partition, reason: reasonOf(error) }, "a lease could not be given up: it runs out");
    });
    await this.#opened?.checkpoints.drain();
  }

  #close(): void {
    this.#ended.abort();
    this.#announcer?.close();
    this.#publisher.close();
    this.#opened?.checkpoints.close();
  }

  #failed(error: unknown): void {
    this.#failure = error;
    this.#close();
    const { lease, partition, log } = this.#options;
    void lease.release(partition, 0).catch(() => {}); // It runs out.
    log.fatal({ partition, reason: reasonOf(error) }, "a partition has failed and is not served any more");
  }
}

function stateOf(snapshot: SnapshotFrom<typeof partitionMachine>): PartitionState {
  if (snapshot.matches("folding")) return snapshot.matches({ folding: "live" }) ? "live" : "catchingUp";
  return snapshot.value as PartitionState;
}
