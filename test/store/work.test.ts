/** Cost follows what changes: the steps of the fold and of counts are the same in a room ten times as large. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, positionOf } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import type { Room } from "../../actors/room/room.ts";
import type { Counting } from "../../actors/room/unread.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { READ, READ_PRIVATE } from "../../src/matrix/receipt-types.ts";
import { PartitionStore } from "../../src/store/partition-store.ts";
import { inThread, live, receipt } from "../support/entries.ts";
import { BOB, ROOM } from "../support/example-room.ts";
import { stepsIn } from "../support/steps.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** Steps may differ by the depth of searches, and a little more. */
const FEW = 40;

const user = (i: number) => `@user-${i}:one.example` as UserId;

/** Returns the steps of each measured part, in a room that `fill` has filled. */
async function stepsOf(
  fill: (and: (...entries: Entry[]) => void) => void,
  measured: (room: Room, and: (...entries: Entry[]) => void) => Record<string, () => void>,
): Promise<Record<string, number>> {
  using dir = temporaryDirectory();
  const store = await PartitionStore.open(dir.path, pino({ level: "silent" }));
  const room = store.load(ROOM);
  let sequence = 0;
  const and = (...entries: Entry[]) => {
    for (const entry of entries) fold(room, positionOf(++sequence, 0), entry);
  };
  fill(and);
  store.commit(store.collect([room], { sequence, room: ROOM, at: 1, entries: 1 }));
  const steps: Record<string, number> = {};
  for (const [what, run] of Object.entries(measured(room, and))) steps[what] = await stepsIn("/actors/", run);
  await store.close();
  return steps;
}

/** Compares the steps in a room of size `n` with those in one of ten times the size. */
async function assertSame(n: number, steps: (n: number) => Promise<Record<string, number>>): Promise<void> {
  const [small, large] = [await steps(n), await steps(10 * n)];
  for (const [what, count] of Object.entries(small)) {
    assert.ok(count > 0, what);
    assert.ok(large[what]! <= count + FEW, `${what}: ${count} steps in a small room, ${large[what]} in a large one`);
  }
}

const work = suite("work");

work("F4: held receipts cost what is released or dropped, not what is held", () =>
  assertSame(900, (n) =>
    stepsOf(
      (and) => {
        for (let i = 0; i < n; i++) and(receipt(user(i), `$unknown-${i % 300}`));
        for (let i = 0; i < 4; i++) and(receipt(user(i), "$awaited"));
        for (let i = 0; i < 8; i++) and(receipt(BOB, `$never-${i}`));
      },
      (room, and) => ({
        "the release of four": () => {
          and(live("$awaited"));
          assert.is(room.held.size, n + 8);
        },
        "an event that none awaits": () => and(live("$other")),
        "one more than a user may hold of a kind": () => {
          and(receipt(BOB, "$never-8"));
          assert.is(room.held.size, n + 8);
        },
      }),
    ),
  ),
);

work("at the room's bound, one more held receipt costs the same for few and for many holders", () =>
  assertSame(500, (holders) =>
    stepsOf(
      (and) => {
        // In turns that end with the oldest holder: the last to have as many as the others.
        for (let i = 0; i < 10_000; i++) {
          const turn = Math.floor(i / holders);
          const holder = i % holders;
          and(
            receipt(user(turn === 0 ? holder : holders - 1 - holder), `$unknown-${i}`, { thread: `$thread-${turn}` }),
          );
        }
      },
      (room, and) => ({
        "one more": () => {
          and(receipt(BOB, "$x"));
          assert.is(room.held.size, 10_000);
        },
      }),
    ),
  ),
);

work("a continued count costs what has changed, whatever the threads and markers of its user", () =>
  assertSame(1_000, (threads) => {
    let counting: Counting | undefined;
    return stepsOf(
      (and) => {
        for (let i = 0; i < threads; i++) {
          and(
            live(`$root-${i}`),
            live(`$read-${i}`, inThread(`$root-${i}`)),
            live(`$new-${i}`, inThread(`$root-${i}`)),
          );
          for (const type of [READ, READ_PRIVATE] as const)
            and(receipt(BOB, `$read-${i}`, { type, thread: `$root-${i}` }));
        }
        and(receipt(BOB, `$root-${threads - 1}`, { thread: "main" }));
      },
      (room, and) => {
        const counted = (unread: number) => {
          counting = room.unread.counting(room.readingOf(BOB), counting);
          assert.is(counting.threads.size, unread);
        };
        counted(threads);
        return {
          "no change": () => counted(threads),
          "an event in a thread": () => {
            and(live("$more", inThread("$root-7")));
            counted(threads);
          },
          "a redaction": () => {
            and(live("$redaction", { type: "m.room.redaction", redacts: "$new-3", content: {} }));
            counted(threads - 1);
          },
          "a marker that moves": () => {
            and(receipt(BOB, `$new-${threads - 1}`, { thread: `$root-${threads - 1}` }));
            counted(threads - 2);
          },
        };
      },
    );
  }),
);

work.run();
