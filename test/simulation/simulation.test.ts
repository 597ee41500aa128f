/**
 * A simulation of owners that crash, pause, act on stale leases and read records twice, in any order. The partition
 * machine, the fold and the publisher are the real ones. The log and the delta stream are arrays, the lease is a field.
 *
 * The seed determines a run. Nothing waits for real time: what a step starts has ended when the step ends.
 */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createActor, fromCallback, fromPromise } from "xstate";
import { type Entry, type PlacedRecord, positionOf } from "../../actors/entry.ts";
import { type PartitionInput, partitionMachine } from "../../actors/partition/machine.ts";
import { Room } from "../../actors/room/room.ts";
import { Rooms } from "../../actors/room/rooms.ts";
import { decode } from "../../src/bus/contract/codec.ts";
import { DELTAS_AGE_MS } from "../../src/limits.ts";
import type { RoomId, UserId } from "../../src/matrix/ids.ts";
import { Publisher } from "../../src/worker/publisher.ts";
import { DeltaReader, type SeenMarkers, uncovered } from "../support/delta-reader.ts";
import { backfilled, live, receipt } from "../support/entries.ts";
import { Model } from "../support/model.ts";
import { random } from "../support/random.ts";
import { entriesOf } from "../support/records.ts";
import { cases, SEED } from "../support/tier.ts";

const RUNS = cases(200);
const STEPS = 60;
/** The clocks of records are anywhere in this time. */
const WRONG_CLOCKS_MS = 10 * DELTAS_AGE_MS;
const ROOMS = ["!a:a.org", "!b:a.org"] as RoomId[];
const USERS = ["@u:a.org", "@v:a.org"] as UserId[];
const log = pino({ level: "silent" });
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface World {
  readonly log: PlacedRecord[];
  readonly stream: { subject: string; body: unknown; published: number }[];
  /** The index of the owner that holds the lease. Other owners may act as if they held it. */
  holder: number;
}

/** A process that acts as the owner, with the lease or without it. */
class Owner {
  readonly #world: World;
  readonly #actor;
  readonly #rooms: Rooms;
  readonly #publisher: Publisher;
  #folded: number;
  /** Messages in flight: published, and not stored yet. */
  #sent: (() => void)[] = [];
  #send: ((input: PartitionInput) => void) | undefined;

  /**
   * Folds the log from its start. `checkpoint`: the changes of all records through this sequence are published already.
   */
  constructor(world: World, checkpoint: number) {
    this.#world = world;
    this.#folded = 0;
    const published = Math.max(positionOf(checkpoint + 1, 0) - 1, world.stream.at(-1)?.published ?? 0);
    this.#publisher = new Publisher({
      partition: 0,
      acked: {
        publish: (subject, payload, headers) =>
          new Promise((resolve) => {
            this.#sent.push(() => {
              const header = Number(headers?.get("Tidemark-Published"));
              resolve(world.stream.push({ subject, body: decode(payload), published: header }));
            });
          }),
      },
      published,
      log,
    });
    this.#rooms = new Rooms({
      store: { load: (id) => new Room(id, 0), has: () => false },
      folded: this.#publisher.add,
      failed: (error) => {
        throw error;
      },
      max: 10,
      idleMs: 1_000,
      now: () => 0,
    });
    this.#actor = createActor(
      partitionMachine.provide({
        actors: {
          open: fromPromise(async () => {}),
          follow: fromCallback<PartitionInput, undefined, PartitionInput>(({ sendBack }) =>
            sendBack({ type: "CLAIM" }),
          ),
          claim: fromPromise(async () => true),
          read: fromCallback<PartitionInput, undefined, PartitionInput>(({ sendBack }) => {
            this.#send = sendBack;
            return () => {
              this.#send = undefined;
            };
          }),
        },
        actions: {
          fold: (_, { fetch }) => {
            this.#rooms.deliver(fetch);
            this.#folded = fetch.at(-1)!.record.sequence;
          },
          abandon: () => this.#publisher.close(),
          report: ({ context }) => {
            throw context.failure;
          },
        },
      }),
    );
    this.#actor.start();
  }

  get folded(): number {
    return this.#folded;
  }

  /**
   * Reads the next records of the log. The `again` records before them are delivered once more, and dropped, as the
   * real reader drops them.
   */
  read(records: number, again: number): void {
    const from = Math.max(0, this.#folded - again);
    const fetch = this.#world.log
      .slice(from, this.#folded + records)
      .filter(({ record }) => record.sequence > this.#folded);
    if (fetch.length > 0) this.#send?.({ type: "RECORDS", fetch });
  }

  /** Stores the messages in flight in the stream. */
  async deliver(): Promise<void> {
    const sent = this.#sent;
    this.#sent = [];
    for (const store of sent) store();
    await turn();
  }

  /** Publishes all pending changes, without waiting for flush windows. */
  async flush(): Promise<void> {
    let over = false;
    const drained = this.#publisher.drain().then(() => {
      over = true;
    });
    while (!over) await this.deliver();
    await drained;
  }

  /** Ends the owner at once. `arrives`: whether the messages in flight are still stored. */
  async crash(arrives: boolean): Promise<void> {
    this.#actor.send({ type: "LOSE" });
    if (arrives) await this.deliver();
    this.#sent = [];
  }
}

function someEntries(next: () => number, count: number): Entry[] {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  return Array.from({ length: 1 + Math.floor(next() * 3) }, () => {
    const id = `$${Math.floor(next() * (count + 3))}`;
    if (next() < 0.4) return next() < 0.8 ? live(id) : backfilled(id);
    return receipt(pick(USERS), id, next() < 0.3 ? { thread: "main" } : {});
  });
}

async function run(seed: number): Promise<void> {
  const next = random(seed);
  const world: World = { log: [], stream: [], holder: 0 };
  const owners = [new Owner(world, 0)];
  await turn();
  let checkpoint = 0;
  for (let step = 0; step < STEPS; step++) {
    const chance = next();
    const holder = owners[world.holder]!;
    const picked = owners[Math.floor(next() * owners.length)]!;
    if (chance < 0.3) {
      const sequence = world.log.length + 1;
      const room = ROOMS[Math.floor(next() * ROOMS.length)]!;
      world.log.push({
        partition: 0,
        room,
        record: { sequence, at: Math.floor(next() * WRONG_CLOCKS_MS), entries: someEntries(next, step) },
      });
    } else if (chance < 0.55) picked.read(1 + Math.floor(next() * 4), Math.floor(next() * 3));
    else if (chance < 0.75) await picked.deliver();
    else if (chance < 0.85) {
      await holder.flush();
      if (next() < 0.5) checkpoint = Math.max(checkpoint, holder.folded);
    } else if (chance < 0.93) {
      // Another process gets the lease. The old owner was paused, or only slow, and continues when it is picked next.
      owners.push(new Owner(world, checkpoint));
      world.holder = owners.length - 1;
      await turn();
    } else {
      await holder.crash(next() < 0.5);
      owners.splice(world.holder, 1, new Owner(world, checkpoint));
      await turn();
    }
  }
  for (const owner of owners) await owner.deliver();
  const last = owners[world.holder]!;
  last.read(world.log.length, 0);
  await last.flush();
  assertMatchesLog(world);
  for (const owner of owners) await owner.crash(false);
}

/** Asserts that a reader of the stream has the orders and markers of the naive model of the log. */
function assertMatchesLog({ log, stream }: World): void {
  const reader = new DeltaReader({ repeats: true });
  for (const { subject, body } of stream) if (subject.startsWith("tidemark.client.")) reader.read(subject, body);
  for (const id of ROOMS) {
    const model = new Model(0);
    for (const { room, record } of log) {
      if (room !== id) continue;
      entriesOf(record).forEach((entry, i) => {
        model.fold(positionOf(record.sequence, i), entry);
      });
    }
    const { orders, markers } = reader.room(id);
    assert.equal([...orders].sort(), model.events.map(({ id, order }) => [id, order]).sort());
    const wanted: SeenMarkers = new Map(
      model.markers.map(({ user, type, thread, event, order, ts }) => [
        `${user} ${type} ${thread ?? ""}`,
        { event, order: Math.max(0, order), ts },
      ]),
    );
    assert.equal(uncovered(markers), uncovered(wanted));
  }
}

const simulation = suite("simulation");

// E2
simulation(
  `no order or marker is lost or changed in ${RUNS} histories of crashes, pauses, stale leases and repeated reads`,
  async () => {
    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      try {
        await run(seed);
      } catch (error) {
        process.stdout.write(`SEED=${seed}\n`);
        throw error;
      }
    }
  },
);

simulation.run();
