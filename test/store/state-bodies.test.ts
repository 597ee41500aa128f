/** What the store says of the current state events, so that no other row of them is read. */
import fc from "fast-check";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, hasEvent, STATE } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { groupOf, memberKey, stateKey } from "../../actors/room/state-changes.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { type Checkpoint, PartitionStore } from "../../src/store/partition-store.ts";
import { erasure, live, member } from "../support/entries.ts";
import { BOB, ROOM } from "../support/example-room.ts";
import { checkAsync } from "../support/property.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { visits } from "../support/visits.ts";

const log = pino({ level: "silent" });

const redactions = fc.nat(40).map((n) => `$${n}`);
/** A history of a room, with redactions in between, of events before or after. */
const redacted = fc
  .tuple(visits, fc.array(fc.tuple(fc.nat(40), redactions), { maxLength: 8 }))
  .map(([entries, added]) => {
    const all = [...entries];
    for (const [i, [at, redacts]] of added.entries()) {
      all.splice(at % (all.length + 1), 0, live(`$redaction${i}`, { type: "m.room.redaction", redacts, content: {} }));
    }
    return all;
  });

const bodies = suite("stored state events");

bodies("have their order while they are served as they came, and only then", async () => {
  await checkAsync(
    fc.asyncProperty(redacted, fc.nat(7), async (entries, commitEach) => {
      using dir = temporaryDirectory();
      const store = await PartitionStore.open(dir.path, log);
      let room = store.load(ROOM);
      for (const [i, entry] of entries.entries()) {
        fold(room, 1_024 * (i + 1), entry);
        if (commitEach === 0 || i % commitEach !== 0) continue;
        store.commit(store.collect([room], { sequence: i + 1, room: ROOM, at: 1, entries: 1 }));
        room = store.load(ROOM);
      }
      for (const entry of entries) {
        if (!hasEvent(entry) || entry[1].state_key === undefined) continue;
        const key = stateKey(entry[1].type, entry[1].state_key);
        const current = room.state.get(key);
        if (current === undefined) continue;
        const body = room.stateBodies.at(key, current.position)!;
        const event: MatrixEvent = JSON.parse(body.json);
        const info = room.events.get(event.event_id);
        const isItsOwn = info?.position === body.position && info.redaction === undefined;
        assert.is(body.isWhole, isItsOwn);
        if (isItsOwn) assert.is(event.unsigned?.order, info?.order);
      }
      await store.close();
    }),
    { numRuns: 100 },
  );
});

bodies("are kept without what a redaction, or an erasure, takes", async () => {
  const named = (id: string) =>
    live(id, { ...member(BOB, "join"), content: { membership: "join", displayname: "Bob" } });
  for (const [said, taking] of [
    [named("$join"), live("$x", { type: "m.room.redaction", redacts: "$join", content: {} })],
    [named("$join"), erasure(BOB, 0, "$join")],
    [[STATE, named("$join")[1]] as Entry, erasure(BOB, 0, "$join")],
  ] as const) {
    using dir = temporaryDirectory();
    const store = await PartitionStore.open(dir.path, log);
    const room = store.load(ROOM);
    for (const [i, entry] of [said, taking].entries()) {
      fold(room, 1_024 * (i + 1), entry);
      store.commit(store.collect([room], { sequence: i + 1, room: ROOM, at: 1, entries: 1 }));
    }
    const body = store.load(ROOM).stateBodies.at(memberKey(BOB), 1_024)!;
    assert.equal(JSON.parse(body.json).content, { membership: "join" });
    await store.close();
  }
});

bodies("are read by position, each key once, as of now", async () => {
  await checkAsync(
    fc.asyncProperty(redacted, fc.nat(7), fc.nat(7), async (entries, collectEach, commitEach) => {
      using dir = temporaryDirectory();
      const store = await PartitionStore.open(dir.path, log);
      const room = store.load(ROOM);
      let collected: Checkpoint | undefined;
      for (const [i, entry] of entries.entries()) {
        fold(room, 1_024 * (i + 1), entry);
        if (collected === undefined && i % (collectEach + 1) === 0) {
          collected = store.collect([room], { sequence: i + 1, room: ROOM, at: 1, entries: 1 });
        } else if (collected !== undefined && i % (commitEach + 1) === 0) {
          store.commit(collected);
          collected = undefined;
        }
        const since = 1_024 * (i % 5);
        for (const group of ["members", "others"] as const) {
          const expected = [...room.state]
            .filter(([key, { position }]) => groupOf(key) === group && position > since)
            .map(([key, { position }]) => [key, position] as const)
            .sort(([, a], [, b]) => a - b);
          const found = [...room.stateBodies.above(group, since)].map(
            ([key, { position }]) => [key, position] as const,
          );
          assert.equal(found, expected);
        }
      }
      await store.close();
    }),
    { numRuns: 30 },
  );
});

bodies.run();
