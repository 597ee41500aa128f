/** Public markers from a position on: the same in memory and in the store, with and without an index, at any time of a checkpoint. */
import fc from "fast-check";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Position, positionOf } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import type { Room } from "../../actors/room/room.ts";
import { MARKERS_UNINDEXED_MAX } from "../../actors/room/room-markers.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { READ, READ_PRIVATE, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import { PartitionStore } from "../../src/store/partition-store.ts";
import { checkpoint } from "../support/checkpoint.ts";
import { live, receipt } from "../support/entries.ts";
import { ROOM } from "../support/example-room.ts";
import { checkAsync } from "../support/property.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const STEP = positionOf(1, 0);

/** A room with a store, and what its public markers are. */
class Story {
  readonly #store: PartitionStore;
  readonly #expected = new Map<UserId, Position>();
  room: Room;
  #position = 0;
  #events = 0;

  constructor(store: PartitionStore) {
    this.#store = store;
    this.room = store.load(ROOM);
  }

  /** The users from a number on read a new event. */
  read(from: number, users: number, type: ReceiptType = READ): void {
    const event = `$${this.#events++}`;
    fold(this.room, this.#next(), live(event));
    for (let number = from; number < from + users; number++) {
      const user = `@u${number}:one.example` as UserId;
      fold(this.room, this.#next(), receipt(user, event, { type }));
      if (type === READ) this.#expected.set(user, this.#position);
    }
  }

  /** `meanwhile`: called after the checkpoint is collected, and before it is written. */
  checkpoint(meanwhile: () => void): void {
    checkpoint(this.#store, this.room, meanwhile);
  }

  /** Passivates and activates the room. */
  reload(): void {
    this.checkpoint(() => {});
    this.room = this.#store.load(ROOM);
  }

  /** Compares what is read from a position on that is so far back, in parts of all. */
  check(back: number): void {
    const from = Math.floor(this.#position * back);
    const found = Array.from(this.room.markers.publicFrom(from), ({ user, position }) => [user, position]);
    const expected = [...this.#expected].filter(([, position]) => position >= from).sort((a, b) => a[1] - b[1]);
    assert.equal(found, expected);
  }

  #next(): Position {
    this.#position += STEP;
    return this.#position;
  }
}

const markers = suite("markers by position");

const USERS_MAX = MARKERS_UNINDEXED_MAX + 200;
const read = fc.record({
  from: fc.integer({ min: 0, max: USERS_MAX }),
  users: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: USERS_MAX })),
  type: fc.constantFrom(READ, READ_PRIVATE),
});

markers("are the same before and after the room gets its index", async () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: read },
    fc.constant("reload" as const),
    fc.record({ meanwhile: fc.array(read, { maxLength: 3 }) }),
    fc.record({ back: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  await checkAsync(
    fc.asyncProperty(fc.array(step, { maxLength: 16 }), async (steps) => {
      using dir = temporaryDirectory();
      const store = await PartitionStore.open(dir.path, pino({ level: "silent" }));
      const story = new Story(store);
      const add = ({ from, users, type }: { from: number; users: number; type: ReceiptType }) =>
        story.read(from, users, type);
      for (const step of steps) {
        if (step === "reload") story.reload();
        else if ("meanwhile" in step) story.checkpoint(() => step.meanwhile.forEach(add));
        else if ("back" in step) story.check(step.back);
        else add(step);
      }
      story.check(0);
      story.reload();
      story.check(0);
      await store.close();
    }),
    { numRuns: 40 },
  );
});

markers("of a room that grows past the limit are indexed with those that didn't move since", async () => {
  using dir = temporaryDirectory();
  const store = await PartitionStore.open(dir.path, pino({ level: "silent" }));
  const story = new Story(store);
  story.read(0, MARKERS_UNINDEXED_MAX);
  story.reload();
  story.read(MARKERS_UNINDEXED_MAX, 1);
  story.reload();
  story.check(0);
  story.read(0, 2);
  story.checkpoint(() => story.read(1, 2));
  story.check(0);
  story.reload();
  story.check(0);
  await store.close();
});

markers.run();
