/**
 * One partition at work: the effects of its machine (`actors/partition/machine.ts`), which reach the lease, the log, the
 * rooms, the publisher and the checkpoints.
 *
 * A partition that was given up or lost is over; a worker that stands by for it again makes a new one, which begins from
 * the checkpoint.
 */
import type { Logger } from "pino";
import { type ActorRefFrom, createActor, fromCallback, fromPromise, type SnapshotFrom, waitFor } from "xstate";
import { type LogRecord, lastPositionOf, type PlacedRecord, type Position, sequenceOf } from "../../actors/entry.ts";
import { type PartitionInput, partitionMachine } from "../../actors/partition/machine.ts";
import type { Outcome } from "../../actors/room/outcome.ts";
import type { Member, Room } from "../../actors/room/room.ts";
import type { Rooms } from "../../actors/room/rooms.ts";
import type { AckedPublisher } from "../bus/client/acked-publisher.ts";
import type { Bus } from "../bus/client/connection.ts";
import { untilReached } from "../bus/client/retry.ts";
import { PublishedAnnouncer } from "../bus/deltas/published-announcement.ts";
import { type MarkedLog, PublishedMark, publishedPosition, removeMark } from "../bus/deltas/published-mark.ts";
import type { Leases } from "../bus/leases/leases.ts";
import { lastSequence, recordAt } from "../bus/log/log.ts";
import type { Conditions } from "../conditions.ts";
import { reasonOf } from "../errors.ts";
import { IntervalGate } from "../interval-gate.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { type FederationOutboxOptions, FederationPublisher } from "./federation-publisher.ts";
import { Follower } from "./follower.ts";
import { type OpenedPartition, openPartition, type PartitionMemory } from "./opened-partition.ts";
import { OwnerLease } from "./owner-lease.ts";
import { OwnerReader } from "./owner-reader.ts";
import { Publisher } from "./publisher.ts";
import { UnmarkedLog } from "./unmarked-log.ts";
import { Unpublished } from "./unpublished.ts";

/** How long a drain waits until the end of the log is folded, and how often it checks. */
const DRAIN_FOLD_MS_MAX = 2_000;
const DRAIN_FOLD_POLL_MS = 5;

/** A partition that doesn't get on for so long waits for something that no worker can do: its log has no leader, for instance. */
const STUCK_MS = 30_000;

/** How often a partition warns of what is no entry. */
const STRAY_WARNING_MS = 60_000;

interface PartitionOptions {
  readonly nc: Bus;
  readonly acked: Pick<AckedPublisher, "publish">;
  readonly leases: Pick<Leases, "claim" | "release">;
  readonly partition: number;
  /** The folder of all partitions' checkpoints. */
  readonly data: string;
  readonly federation: FederationOutboxOptions & { readonly shards: number };
  readonly conditions: Conditions;
  readonly log: Logger;
  readonly memory: PartitionMemory;
  /** Records that the broker may send ahead of the fold. */
  readonly ahead: number;
  /** Called for each record that is appended while the partition has an owner here. See `OwnerReader`. */
  readonly clockAhead: (aheadMs: number) => void;
  /** Called after every change of state. */
  readonly changed: () => void;
  /** Called once per entry, after it is folded, in log order. */
  readonly counted: (outcome: Outcome) => void;
  /** Called with the number of items in the log that are no entries. */
  readonly noted: (items: number) => void;
  readonly latencies?: WorkerLatencies | undefined;
  /** Default: `STUCK_MS`. */
  readonly stuckMs?: number | undefined;
}

/** How long things took, in ms, for metrics. */
export interface WorkerLatencies {
  /** Deltas of a record were acknowledged, so long after it was appended. */
  readonly published: (ms: number) => void;
  /** A checkpoint was committed. */
  readonly stored: (ms: number) => void;
  /** A question was answered, or refused with the code. */
  readonly asked: (ms: number, errcode: string | undefined) => void;
}

/** Stages of a partition that an operator is told of, one line each time. `report` has the line of one that failed. */
const STAGE_LINES = {
  warm: "a partition is warm: it can be served here at once",
  claimed: "a partition is claimed: what is left of its log is folded first",
  served: "a partition is served",
  given_up: "a partition is given up",
} as const;

/** The states that `/metrics` shows. */
export type PartitionState = "standby" | "claiming" | "catchingUp" | "live" | "draining" | "released" | "failed";

type SendBack = (input: PartitionInput) => void;

export class Partition {
  readonly #options: PartitionOptions;
  readonly #lease: OwnerLease;
  readonly #actor: ActorRefFrom<typeof partitionMachine>;
  #opening: Promise<OpenedPartition> | undefined;
  #opened: OpenedPartition | undefined;
  /** Publishes nothing until the partition has an owner here. */
  #publisher: Publisher;
  #announcer: PublishedAnnouncer | undefined;
  /** Written while the partition has an owner here. */
  #mark: PublishedMark | undefined;
  /** Where publishing begins, if nothing said it. */
  #unmarked: UnmarkedLog | undefined;
  #reader: OwnerReader | undefined;
  #folded = 0;
  /** Of the log; empty while that has no record. */
  #lineage = "";
  /** When its state changed last, or something was folded: `performance.now()`. */
  #progressedAt = performance.now();
  readonly #unpublished: Unpublished;
  readonly #strayWarnings = new IntervalGate(STRAY_WARNING_MS);

  /** Begins to stand by. */
  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#lease = new OwnerLease(options.leases, options.partition);
    this.#unpublished = new Unpublished((ms) => options.latencies?.published(ms));
    this.#publisher = this.#publisherFrom(Number.POSITIVE_INFINITY);
    this.#actor = createActor(
      partitionMachine.provide({
        actors: {
          open: fromPromise(({ signal }) => this.#open(signal)),
          follow: fromCallback<PartitionInput, undefined, PartitionInput>(({ sendBack }) => this.#follow(sendBack)),
          claim: fromPromise(({ signal }) => this.#claim(signal)),
          read: fromCallback<PartitionInput, undefined, PartitionInput>(({ sendBack }) => this.#read(sendBack)),
          finish: fromPromise(({ signal }) => this.#finish(signal)),
          drain: fromPromise(() => this.#drain()),
        },
        actions: {
          fold: (_, { fetch }) => this.#fold(fetch),
          abandon: () => this.#close(),
          report: ({ context }) => this.#report(context.failure),
        },
      }),
    );
    // Called after every input, and most are records, which leave the snapshot as it is.
    let before = this.#actor.getSnapshot();
    this.#actor.subscribe((snapshot) => {
      if (snapshot === before) return;
      this.#say(stageOf(before), stageOf(snapshot));
      before = snapshot;
      this.#progressedAt = performance.now();
      options.changed();
    });
    this.#actor.start();
  }

  /** Tries to become the owner. */
  claim(): void {
    this.#actor.send({ type: "CLAIM" });
  }

  /** The lease ran out: folds and publishes nothing more. */
  lose(): void {
    this.#actor.send({ type: "LOSE" });
  }

  /** Gives the partition up; an owner folds and publishes first what the log has by now. Resolves when all is closed. */
  async stop(): Promise<void> {
    this.#actor.send({ type: "DRAIN" });
    await waitFor(this.#actor, ({ status }) => status === "done");
    const opened = await this.#opening?.catch(() => undefined);
    this.#close();
    await opened?.store.close();
  }

  get state(): PartitionState {
    return stateOf(this.#actor.getSnapshot());
  }

  /** Whether it follows the owner, and could claim the partition. */
  get standsBy(): boolean {
    return this.#actor.getSnapshot().matches("standby");
  }

  /** Whether it answers questions about its rooms: it is the owner, and has caught up with its log. */
  get live(): boolean {
    return this.#actor.getSnapshot().hasTag("serving");
  }

  /** Whether it is the owner, or could be at once. */
  get warm(): boolean {
    return this.#actor.getSnapshot().hasTag("warm");
  }

  /** Whether it has not got on for long, though it is neither live nor warm. */
  get stuck(): boolean {
    return !this.warm && performance.now() - this.#progressedAt >= (this.#options.stuckMs ?? STUCK_MS);
  }

  /** The sequence through which it has folded. */
  get folded(): number {
    return this.#folded;
  }

  /** The sequence at which the log ended when it became the owner. */
  get end(): number {
    return this.#reader?.end ?? 0;
  }

  /** Why it failed. */
  get failure(): unknown {
    return this.#actor.getSnapshot().context.failure;
  }

  /** Since when the oldest change has waited to be published, ms; 0 when none waits. */
  get unpublishedMs(): number {
    return this.#unpublished.oldestMs;
  }

  /** Receipts that wait to be published for other servers. */
  get federationWaiting(): number {
    return this.#publisher.federationWaiting;
  }

  /** The size of its store on disk; undefined while that is not open. */
  get storeBytes(): number | undefined {
    return this.#opened?.store.bytes;
  }

  /** Its active rooms, once the checkpoint is open. */
  get rooms(): Rooms | undefined {
    return this.#opened?.rooms;
  }

  /** A room, for reading, while the partition is live. */
  room(id: RoomId): Room {
    return this.#opened!.rooms.get(id);
  }

  /** A user's memberships in its rooms, while the partition is live. */
  roomsOf(user: UserId): ReadonlyMap<RoomId, Member> {
    return this.#opened!.memberships.of(user);
  }

  /** Everything that was folded has at most this position. */
  get position(): Position {
    return this.#folded === 0 ? 0 : lastPositionOf(this.#folded);
  }

  /** Whether a room has changed after a position, for the readers of one of its members. It is not activated for that. */
  hasChanged(id: RoomId, user: UserId, since: Position): boolean {
    const room = this.#opened!.rooms.peek(id);
    if (room === undefined) return this.#opened!.store.changedSince(id, user, since);
    if (Math.max(room.changed.events, room.changed.receipts) > since) return true;
    for (const { position } of room.markers.of(user)) if (position > since) return true;
    return false;
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { counted, latencies } = this.#options;
    this.#opening = openPartition(
      {
        ...this.#options,
        folded: (room, entry) => {
          counted(entry.outcome);
          this.#publisher.add(room, entry);
        },
        published: (through) => this.#publisher.published(through),
        stored: () => void this.#mark?.raise(this.#publishedThrough),
        overloaded: () => this.#publisher.releaseBacklog(),
        catchingUp: () => this.#actor.getSnapshot().matches({ owner: "catchingUp" }),
        committed: latencies?.stored,
        failed: (error) => this.#actor.send({ type: "FAIL", error }),
      },
      signal,
    );
    this.#opened = await this.#opening;
    this.#lineage = this.#opened.lineage;
    this.#folded = this.#opened.store.mark?.sequence ?? 0;
  }

  #publisherFrom(published: Position): Publisher {
    const { partition, acked, conditions, log } = this.#options;
    const isNew = (position: Position) => this.#reader !== undefined && sequenceOf(position) > this.#reader.end;
    const federation = new FederationPublisher({
      ...this.#options.federation,
      acked,
      isNew,
      unacknowledged: conditions.notice("federation_unpublished", partition),
    });
    const lineage = () => this.#lineage;
    const publisher: Publisher = new Publisher({
      partition,
      flushed: () => this.#unpublished.settle(publisher.deltasThrough()),
      acked,
      federation,
      published,
      lineage,
      unacknowledged: conditions.notice("deltas_unpublished", partition),
      rejectionsUnacknowledged: conditions.notice("rejections_unpublished", partition),
      log,
    });
    return publisher;
  }

  #follow(sendBack: SendBack): () => void {
    const { nc, ahead } = this.#options;
    const follower = new Follower({
      ...this.#marked,
      nc,
      folded: this.#folded,
      ahead,
      fold: (fetch) => sendBack({ type: "RECORDS", fetch }),
      caughtUp: () => sendBack({ type: "CAUGHT_UP" }),
      failed: (error) => sendBack({ type: "FAIL", error }),
    });
    return () => follower.close();
  }

  /** Gets the lease, and finds out from where to publish. */
  async #claim(signal: AbortSignal): Promise<boolean> {
    const { nc, partition, conditions } = this.#options;
    const left = await untilReached(signal, () => this.#lease.claim(() => this.#lineage));
    if (left === undefined || signal.aborted) return false;
    const published = await untilReached(signal, () => this.#publishedBefore(left));
    const newest = published === undefined ? await untilReached(signal, () => this.#newestRecord()) : undefined;
    if (signal.aborted) return false;
    if (newest !== undefined) this.#unmarked = new UnmarkedLog(newest.at);
    this.#publisher = this.#publisherFrom(published ?? 0);
    this.#announcer = new PublishedAnnouncer(nc, partition, () => this.#publishedThrough);
    this.#mark = new PublishedMark({
      nc,
      log: () => this.#marked,
      failed: (error) => conditions.begin("mark_unwritten", partition, { reason: reasonOf(error) }),
      written: () => conditions.end("mark_unwritten", partition),
    });
    if (published !== undefined) void this.#mark.raise(published);
    return true;
  }

  /**
   * The position through which the partition is published: the greatest that anything says. undefined when nothing says one.
   * `left`: what the lease says.
   */
  async #publishedBefore(left: Position): Promise<Position | undefined> {
    const { nc, partition, log } = this.#options;
    const marked = await publishedPosition(nc, this.#marked);
    // What is folded is published: a checkpoint is written after that, and a standby folds after it.
    const folded = this.#folded === 0 ? 0 : lastPositionOf(this.#folded);
    const published = Math.max(folded, marked ?? 0, left);
    // The log is asked after that: meanwhile a previous owner may still publish.
    const sequence = await lastSequence(nc, partition);
    if (published <= lastPositionOf(sequence)) return marked === undefined && published === 0 ? undefined : published;
    log.warn({ partition, published, sequence }, "more is published than the log has: the log was replaced");
    await removeMark(nc, partition);
    return undefined;
  }

  async #newestRecord(): Promise<LogRecord | undefined> {
    const { nc, partition } = this.#options;
    const sequence = await lastSequence(nc, partition);
    return sequence === 0 ? undefined : (await recordAt(nc, partition, sequence))?.record;
  }

  /** The log whose positions are published. */
  get #marked(): MarkedLog {
    return { partition: this.#options.partition, lineage: this.#lineage };
  }

  get #publishedThrough(): Position {
    return Math.min(this.#publisher.through(), lastPositionOf(this.#folded));
  }

  #read(sendBack: SendBack): () => void {
    const { nc, partition, ahead, clockAhead } = this.#options;
    const reader = new OwnerReader({
      clockAhead,
      nc,
      partition,
      folded: this.#folded,
      ahead,
      publisher: this.#publisher,
      checkpoints: this.#opened!.checkpoints,
      fold: (fetch) => sendBack({ type: "RECORDS", fetch }),
      caughtUp: () => sendBack({ type: "CAUGHT_UP" }),
      failed: (error) => sendBack({ type: "FAIL", error }),
    });
    this.#reader = reader;
    return () => reader.close();
  }

  #fold(fetch: readonly PlacedRecord[]): void {
    const { store, rooms, checkpoints } = this.#opened!;
    for (const placed of fetch) {
      if (placed.start !== undefined) {
        store.begin(placed.start);
        this.#lineage = placed.start.lineage;
      }
      this.#note(placed);
    }
    const skipped = this.#unmarked?.skipped(fetch);
    if (skipped !== undefined) this.#publisher.passOver(skipped);
    rooms.deliver(fetch);
    this.#folded = fetch.at(-1)!.record.sequence;
    this.#progressedAt = performance.now();
    const isNew = this.#reader !== undefined && fetch[0]!.record.sequence > this.#reader.end;
    if (isNew) this.#unpublished.folded(fetch, this.#publisher.deltasThrough());
    checkpoints.folded(fetch);
  }

  /** What is no record, and items that are no entries: the fold goes on after them. */
  #note({ record, stray }: PlacedRecord): void {
    let invalid = stray === undefined ? 0 : 1;
    for (const entry of record.entries) if (entry === null) invalid++;
    if (invalid === 0) return;
    this.#options.noted(invalid);
    const { partition, log } = this.#options;
    if (!this.#strayWarnings.pass()) return;
    const reason = stray ?? `${invalid} of its items are no entries`;
    log.warn({ partition, sequence: record.sequence, reason }, "the log has what is no entry: it is passed over");
  }

  /** Resolves once everything is folded that the log has now: what was acknowledged before a drain is published by it. */
  async #finish(signal: AbortSignal): Promise<void> {
    const { nc, partition, log } = this.#options;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DRAIN_FOLD_MS_MAX)]);
    try {
      const last = await lastSequence(nc, partition);
      while (this.#folded < last && !limit.aborted) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_FOLD_POLL_MS));
      }
    } catch (error) {
      log.warn({ partition, reason: reasonOf(error) }, "drained without the end of the log");
    }
  }

  async #drain(): Promise<void> {
    const { partition, log } = this.#options;
    await this.#publisher.drain();
    this.#announcer?.announce();
    const published = this.#publishedThrough;
    const released = this.#lease.release(published).catch((error) => {
      log.warn({ partition, reason: reasonOf(error) }, "a lease could not be given up: it runs out");
    });
    await Promise.all([released, this.#mark?.raise(published)]);
    await this.#opened!.checkpoints.drain();
  }

  #close(): void {
    this.#options.conditions.end("mark_unwritten", this.#options.partition);
    this.#announcer?.close();
    this.#publisher.close();
    this.#opened?.checkpoints.close();
  }

  #say(before: Stage | undefined, stage: Stage | undefined): void {
    if (stage === undefined || stage === before) return;
    const { partition, log } = this.#options;
    log.info({ partition, folded: this.#folded }, STAGE_LINES[stage]);
  }

  #report(error: unknown): void {
    this.#close();
    void this.#lease.release(0).catch(() => {}); // It runs out.
    const { partition, conditions, log } = this.#options;
    conditions.begin("partition_failed", partition);
    log.fatal({ partition, reason: reasonOf(error) }, "a partition has failed and is not served any more");
  }
}

function stateOf({ value }: SnapshotFrom<typeof partitionMachine>): PartitionState {
  if (typeof value === "string") return value === "opening" ? "standby" : value;
  if ("standby" in value) return "standby";
  if ("claiming" in value) return "claiming";
  return value.owner === "catchingUp" ? "catchingUp" : "live";
}

type Stage = keyof typeof STAGE_LINES;

/** Returns undefined before the first stage, and after a failure. */
function stageOf(snapshot: SnapshotFrom<typeof partitionMachine>): Stage | undefined {
  if (snapshot.hasTag("serving")) return "served";
  if (snapshot.matches("owner")) return "claimed";
  // A warm standby that tries to get the lease stays one if it fails.
  if (snapshot.hasTag("warm")) return "warm";
  return snapshot.matches("draining") || snapshot.matches("released") ? "given_up" : undefined;
}
