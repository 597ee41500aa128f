import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { LogRecord } from "../../../actors/entry.ts";
import { Room, type RoomStore } from "../../../actors/room/room.ts";
import { Rooms } from "../../../actors/room/rooms.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { live } from "../../support/entries.ts";

const [A, B, C] = ["!a:one.example", "!b:one.example", "!c:one.example"] as RoomId[] as [RoomId, RoomId, RoomId];

/** A store with the rooms of all checkpoints. It records which rooms are loaded. */
function rooms({ max = 2, idleMs = 1_000 } = {}) {
  const stored = new Map<RoomId, Room>();
  const loaded: RoomId[] = [];
  const failures: unknown[] = [];
  const clock = { now: 0 };
  let sequence = 0;
  let isBroken = false;
  const store: RoomStore = {
    has: (id) => stored.has(id),
    load: (id) => {
      if (isBroken) throw new Error("the disk is gone");
      loaded.push(id);
      return stored.get(id) ?? new Room(id, 0);
    },
  };
  const actors = new Rooms({
    store,
    folded: (room) => {
      if (room.id === C && room.position >= 5 * 1024) throw new Error("an invariant is broken");
    },
    failed: (error) => failures.push(error),
    max,
    idleMs,
    now: () => clock.now,
  });
  const record = (): LogRecord => ({ sequence: ++sequence, at: 0, entries: [live(`$${sequence}`)] });
  return {
    actors,
    loaded,
    failures,
    clock,
    break: () => {
      isBroken = true;
    },
    deliver: (...ids: RoomId[]) => actors.deliver(ids.map((room) => ({ partition: 0, room, record: record() }))),
    checkpoint: () => {
      const changed = actors.takeChanged();
      for (const room of changed) stored.set(room.id, room);
      actors.stored(changed);
    },
  };
}

const positions = ({ timeline }: Room) => timeline.map(({ position }) => position);

const activation = suite("the rooms of a partition");

activation("get their records in log order, as one input per fetch", () => {
  const { actors, deliver } = rooms();
  deliver(A, B, A);
  assert.is(actors.get(A).position, 3 * 1024);
  assert.equal(positions(actors.get(A)), [1024, 3 * 1024]);
  assert.equal(positions(actors.get(B)), [2 * 1024]);
});

activation("are not activated by a query about an unknown room", () => {
  const { actors, loaded } = rooms();
  assert.is(actors.get(A).position, 0);
  assert.is(actors.active, 0);
  assert.equal(loaded, []);
});

activation("stay active until a checkpoint has their changes, however many they are", () => {
  const { actors, deliver } = rooms({ max: 1 });
  deliver(A, B, C);
  actors.passivate();
  assert.is(actors.active, 3);
});

activation("beyond the limit are passivated, the least recently used first", () => {
  const { actors, deliver, checkpoint, loaded } = rooms({ max: 2 });
  deliver(A, B, C);
  checkpoint();
  actors.get(A);
  actors.passivate();
  assert.is(actors.active, 2);
  assert.equal(loaded, [A, B, C]);
  actors.get(A);
  actors.get(C);
  assert.equal(loaded, [A, B, C]);
  actors.get(B);
  assert.equal(loaded, [A, B, C, B]);
});

activation("are passivated when they are idle", () => {
  const { actors, deliver, checkpoint, clock } = rooms({ max: 9, idleMs: 100 });
  deliver(A, B);
  checkpoint();
  clock.now = 60;
  actors.get(B);
  clock.now = 100;
  actors.passivate();
  assert.is(actors.active, 1);
  clock.now = 161;
  actors.passivate();
  assert.is(actors.active, 0);
});

activation("are activated by their next record, in the same state", () => {
  const { actors, deliver, checkpoint, clock } = rooms({ max: 9, idleMs: 1 });
  deliver(A);
  checkpoint();
  clock.now = 10;
  actors.passivate();
  assert.is(actors.active, 0);
  deliver(A);
  assert.equal(positions(actors.get(A)), [1024, 2 * 1024]);
});

activation("are written to a checkpoint once, and again only after a change", () => {
  const { actors, deliver } = rooms();
  const ids = (changed: readonly Room[]) => changed.map(({ id }) => id);
  deliver(A, B);
  const first = actors.takeChanged();
  assert.equal(ids(first), [A, B]);
  deliver(B);
  actors.stored(first);
  const second = actors.takeChanged();
  assert.equal(ids(second), [B]);
  actors.stored(second);
  assert.equal(ids(actors.takeChanged()), []);
});

activation("that change during a checkpoint stay active until the next one", () => {
  const { actors, deliver } = rooms({ max: 0 });
  deliver(A, B);
  const first = actors.takeChanged();
  deliver(B);
  actors.passivate();
  assert.is(actors.active, 2, "the checkpoint is not committed");
  actors.stored(first);
  actors.passivate();
  assert.is(actors.active, 1);
  actors.stored(actors.takeChanged());
  actors.passivate();
  assert.is(actors.active, 0);
});

activation("that meet a broken invariant fail, say so once, and fold nothing more", () => {
  const { actors, deliver, failures } = rooms();
  deliver(C, C, C, C);
  assert.equal(failures, []);
  deliver(C);
  deliver(C);
  assert.is(failures.length, 1);
  assert.match(String(failures[0]), /an invariant is broken/);
  assert.is(actors.get(C).position, 5 * 1024);
});

activation("that can't be loaded fail, and are not shown as empty ones", () => {
  const { actors, deliver, failures, break: breakStore } = rooms();
  breakStore();
  deliver(A);
  assert.is(failures.length, 1);
  assert.match(String(failures[0]), /the disk is gone/);
  assert.throws(() => actors.get(A), /could not be loaded/);
});

activation.run();
