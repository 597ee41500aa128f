/** The index of events by order and by relation: the same in memory and in the store. */
import fc from "fast-check";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, type Order, positionOf } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { ALL, type OrderIndex, type OrderRange, type Related } from "../../actors/room/order-index.ts";
import type { Room } from "../../actors/room/room.ts";
import type { EventId } from "../../src/matrix/ids.ts";
import { PartitionStore } from "../../src/store/partition-store.ts";
import { checkpoint } from "../support/checkpoint.ts";
import { backfilled, live, relates } from "../support/entries.ts";
import { ROOM } from "../support/example-room.ts";
import { checkAsync } from "../support/property.ts";
import { roomOver } from "../support/stored-room.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const TARGETS = ["$0", "$1", "$not-here"] as EventId[];
const STEP = positionOf(1, 0);

/** A room with a store, and a list of all its orders. */
class Story {
  readonly #store: PartitionStore;
  readonly #orders = new Map<Related, Order[]>();
  room: Room;
  #position = 0;

  constructor(store: PartitionStore) {
    this.#store = store;
    this.room = store.load(ROOM);
  }

  fold(entry: Entry, of?: EventId): void {
    this.#position += STEP;
    const outcome = fold(this.room, this.#position, entry);
    assert.is(outcome.outcome, "ordered");
    if (outcome.outcome !== "ordered") return;
    for (const each of of === undefined ? [ALL] : [ALL, of]) {
      this.#orders.set(each as Related, [...(this.#orders.get(each as Related) ?? []), outcome.order]);
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

  range(of: Related, range: OrderRange): Order[] {
    const index: OrderIndex<unknown> = of === ALL ? this.room.byOrder : this.room.relations;
    return Array.from(index.range(of, range), ([order]) => order);
  }

  expected(of: Related, { dir, above, below }: OrderRange): Order[] {
    return (this.#orders.get(of) ?? [])
      .filter((order) => order > above && order < below)
      .sort((a, b) => (dir === "f" ? a - b : b - a));
  }
}

const orders = suite("event orders");

orders("a range is the same in memory and in the store, at any time of a checkpoint", async () => {
  const entry = fc.record({ isLive: fc.boolean(), target: fc.option(fc.constantFrom(...TARGETS), { nil: undefined }) });
  const bound = fc.integer({ min: -40, max: 40 });
  const step = fc.oneof(
    { weight: 4, arbitrary: entry },
    fc.constant("reload" as const),
    fc.record({ meanwhile: fc.array(entry, { maxLength: 3 }) }),
    fc.record({
      dir: fc.constantFrom("b" as const, "f" as const),
      of: fc.constantFrom<Related>(ALL, ...TARGETS),
      above: fc.oneof(bound, fc.constant(Number.NEGATIVE_INFINITY)),
      below: fc.oneof(bound, fc.constant(Number.POSITIVE_INFINITY)),
    }),
  );
  await checkAsync(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      using dir = temporaryDirectory();
      const store = await PartitionStore.open(dir.path, pino({ level: "silent" }));
      const story = new Story(store);
      let made = 0;
      const add = ({ isLive, target }: { isLive: boolean; target: EventId | undefined }) => {
        const fields = target === undefined ? {} : { content: relates("m.annotation", target) };
        story.fold((isLive ? live : backfilled)(`$${made++}`, fields), target);
      };
      const checkRange = (of: Related, range: OrderRange) =>
        assert.equal(story.range(of, range), story.expected(of, range));
      for (const step of steps) {
        if (step === "reload") story.reload();
        else if ("isLive" in step) add(step);
        else if ("meanwhile" in step) story.checkpoint(() => step.meanwhile.forEach(add));
        else checkRange(step.of, step);
      }
      for (const of of [ALL, ...TARGETS] as Related[]) {
        for (const dir of ["b", "f"] as const) {
          checkRange(of, { dir, above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY });
        }
      }
      await store.close();
    }),
    { numRuns: 60 },
  );
});

orders("only the requested range is read from the store", async () => {
  const asked: OrderRange[] = [];
  let read = 0;
  const stored = {
    *range(_of: Related, range: OrderRange) {
      asked.push(range);
      for (let order = 1_000_000; order > 0; order--) {
        read++;
        yield [order, order] as const;
      }
    },
  };
  const room = roomOver({ byOrder: stored });
  const range: OrderRange = { dir: "b", above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY };
  const page: Order[] = [];
  for (const [order] of room.byOrder.range(ALL, range)) if (page.push(order) === 10) break;
  assert.is(page.length, 10);
  assert.is(read, 10);
  assert.equal(asked, [range]);
});

orders.run();
