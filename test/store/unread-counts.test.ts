/** Incremental unread counts equal full ones, wherever the events are stored. */
import * as fc from "fast-check";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fold } from "../../actors/room/fold.ts";
import { type Counting, summed } from "../../actors/room/unread.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { PartitionStore } from "../../src/store/partition-store.ts";
import { history, USERS } from "../support/arbitraries.ts";
import { history as historical, inThread, live, member, receipt, relates } from "../support/entries.ts";
import { BOB, ROOM } from "../support/example-room.ts";
import { checkAsync } from "../support/property.ts";
import { roomOver } from "../support/stored-room.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const counts = suite("unread counts");

counts("are the same incrementally, for any history and checkpoints", async () => {
  const meanwhile = fc.constantFrom("asked", "asked", "not asked", "stored", "left memory", "loaded again");
  await checkAsync(
    fc.asyncProperty(history, fc.array(meanwhile, { minLength: 20, maxLength: 20 }), async (entries, steps) => {
      using dir = temporaryDirectory();
      const store = await PartitionStore.open(dir.path, pino({ level: "silent" }));
      let room = store.load(ROOM);
      const before = new Map<UserId, Counting>();
      for (const [i, { position, entry }] of entries.entries()) {
        fold(room, position, entry);
        const step = steps[i % steps.length]!;
        if (step === "not asked") continue;
        if (step !== "asked") store.commit(store.collect([room], { sequence: i + 1, room: ROOM, at: 1, entries: 1 }));
        if (step === "left memory") room.unread.committed(0);
        if (step === "loaded again") room = store.load(ROOM);
        for (const user of USERS) {
          const counting = room.unread.counting(room.readingOf(user), before.get(user));
          before.set(user, counting);
          assert.equal(summed(counting), room.unread.count(room.readingOf(user)));
        }
      }
      await store.close();
    }),
    { numRuns: 60 },
  );
});

counts("read only new events, until something that they depend on changes", () => {
  let read = 0;
  const threads = () => {
    read++;
    return [];
  };
  const room = roomOver({ unread: { threads, between: () => [] } });
  let position = 0;
  let counting: Counting | undefined;
  const after = (entry: Parameters<typeof fold>[2]) => {
    fold(room, ++position, entry);
    counting = room.unread.counting(room.readingOf(BOB), counting);
    return [summed(counting).unthreaded, read];
  };
  assert.equal(after(live("$a")), [1, 1]);
  assert.equal(after(live("$b", inThread("$a"))), [2, 1]);
  assert.equal(after(live("$c")), [3, 1]);
  assert.equal(after(historical("$old", inThread("$a"))), [4, 1], "below all others");
  assert.equal(after(live("$x", { type: "m.room.redaction", redacts: "$c", content: {} })), [3, 1]);
  assert.equal(after(live("$late", { content: relates("m.reference", "$d") })), [4, 1], "unsettled, so in main");
  assert.equal(after(live("$d", inThread("$a"))), [5, 1], "moves $late to its thread");
  assert.equal(after(receipt(BOB, "$a", { thread: "main" })), [4, 1]);
  assert.equal(after(live("$own", { sender: BOB, ...inThread("$a") })), [0, 1], "counts like a receipt for its thread");
  assert.equal(after(receipt(BOB, "$a")), [0, 1], "an unthreaded marker concerns every thread");
  assert.equal(after(live("$m", member(BOB, "join"))), [0, 1], "nothing after the join");
});

counts.run();
