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
import { BOB, inThread, live, member, ROOM, receipt } from "../support/given.ts";
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
          const counting = room.unread.counting(user, room.markers, before.get(user));
          before.set(user, counting);
          assert.equal(summed(counting), room.unread.count(user, room.markers));
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
    counting = room.unread.counting(BOB, room.markers, counting);
    return [summed(counting).unthreaded, read];
  };
  assert.equal(after(live("$a")), [1, 1]);
  assert.equal(after(live("$b", inThread("$a"))), [2, 1]);
  assert.equal(after(live("$own", { sender: BOB })), [2, 1]);
  assert.equal(after(live("$m", member(BOB, "join"))), [2, 1]);
  assert.equal(after(receipt(BOB, "$a")), [1, 1], "the events after the marker are in memory");
  assert.equal(after(live("$c")), [2, 1]);
  assert.equal(after(live("$x", { type: "m.room.redaction", redacts: "$b", content: {} })), [1, 1]);
});

counts.run();
