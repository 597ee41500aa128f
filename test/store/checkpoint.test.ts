import fc from "fast-check";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { type Mark, PartitionStore } from "../../src/store/partition-store.ts";
import { history, USERS } from "../support/arbitraries.ts";
import { BASE, ROOM } from "../support/example-room.ts";
import { checkAsync } from "../support/property.ts";
import { stateOf } from "../support/room-state.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const log = pino({ level: "silent" });

const START = { base: BASE, lineage: "a", parent: null };

const markAt = (sequence: number): Mark => ({ sequence, room: ROOM, at: 1, entries: 1 });

/**
 * What can happen between two entries: nothing, a checkpoint, a checkpoint and the eviction of rows, or a new
 * activation.
 */
const interruption = fc.constantFrom("none", "none", "collect", "commit", "evict", "passivate", "restart");

const checkpoints = suite("checkpoints");

checkpoints("passivation and restarts at any time change no outcome and no state", async () => {
  await checkAsync(
    fc.asyncProperty(history, fc.array(interruption, { minLength: 1, maxLength: 60 }), async (entries, moments) => {
      using dir = temporaryDirectory();
      let store = await PartitionStore.open(dir.path, log);
      store.begin(START);
      const expected = new Room(ROOM, BASE);
      let room = store.load(ROOM);
      let collected: ReturnType<PartitionStore["collect"]> | undefined;
      const commit = (sequence: number) => {
        if (collected !== undefined) store.commit(collected);
        collected = undefined;
        store.commit(store.collect([room], markAt(sequence)));
      };
      for (const [i, { position, entry }] of entries.entries()) {
        assert.equal(fold(room, position, entry), fold(expected, position, entry));
        const moment = moments[i % moments.length];
        if (moment === "collect" && collected === undefined) collected = store.collect([room], markAt(i));
        if (moment === "commit" && collected !== undefined) {
          store.commit(collected);
          collected = undefined;
        }
        if (moment === "evict" || moment === "passivate" || moment === "restart") commit(i);
        if (moment === "evict" || moment === "commit") room.committed(0);
        if (moment === "restart") {
          await store.close();
          store = await PartitionStore.open(dir.path, log);
        }
        if (moment === "passivate" || moment === "restart") room = store.load(ROOM);
        assert.equal(stateOf(room, USERS), stateOf(expected, USERS));
      }
      await store.close();
    }),
    { numRuns: 60 },
  );
});

checkpoints.run();
