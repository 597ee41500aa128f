import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Changes } from "../../../actors/partition/changes.ts";
import { fold, isRead } from "../../../actors/room/fold.ts";
import { publishedOrder } from "../../../actors/room/markers.ts";
import { Room } from "../../../actors/room/room.ts";
import { decode } from "../../../src/bus/contract/codec.ts";
import type { EventId } from "../../../src/matrix/ids.ts";
import { eventMessages, markerMessages } from "../../../src/worker/delta-messages.ts";
import { EVENT_IDS, history, type Positioned, USERS } from "../../support/arbitraries.ts";
import { describe, ROOM } from "../../support/given.ts";
import { Model } from "../../support/model.ts";
import { check } from "../../support/property.ts";
import { DeltaReader } from "../../support/reader.ts";
import { stateOf } from "../../support/room-state.ts";

const RUNS = { numRuns: 150 };

function foldAll(entries: readonly Positioned[]): Room {
  const room = new Room(ROOM);
  for (const { position, entry } of entries) fold(room, position, entry);
  return room;
}

const sorted = <T>(items: readonly T[]): string[] => items.map((item) => JSON.stringify(item)).sort();

const properties = suite("fold of any history");

// E14
properties("equals a naive model of the rules after every entry", () => {
  check(
    fc.property(history, (entries) => {
      const room = new Room(ROOM);
      const model = new Model();
      for (const { position, entry } of entries) {
        assert.equal(describe(fold(room, position, entry)), model.fold(position, entry));
        assert.equal(
          [...room.events].map(([id, { order, thread }]) => ({ id, order, thread })),
          model.events.map(({ id, order, thread }) => ({ id: id as EventId, order, thread: thread as EventId })),
        );
        assert.equal(
          sorted(
            [...room.markers].map(({ user, type, thread, event, order, ts }) => [user, type, thread, event, order, ts]),
          ),
          sorted(
            model.markers.map(({ user, type, thread, event, order, ts }) => [user, type, thread, event, order, ts]),
          ),
        );
        assert.equal([...room.held], model.held);
        for (const user of USERS) {
          for (const id of EVENT_IDS) assert.is(isRead(room, user, id as EventId), model.isRead(user, id));
          const { unthreaded, main, threads } = room.unread.count(user, room.markers);
          assert.equal({ unthreaded, main, threads: Object.fromEntries(threads) }, model.unread(user));
        }
      }
    }),
    RUNS,
  );
});

properties("gives live events orders that grow in log order and never change", () => {
  check(
    fc.property(history, (entries) => {
      const room = new Room(ROOM);
      const first = new Map<string, number>();
      let newest = 0;
      for (const { position, entry } of entries) {
        fold(room, position, entry);
        for (const [id, { order }] of room.events) {
          if (!first.has(id)) {
            assert.is(Math.abs(order), position);
            if (order > 0) assert.ok(order > newest);
            newest = Math.max(newest, order);
            first.set(id, order);
          }
          assert.is(order, first.get(id));
        }
      }
    }),
    RUNS,
  );
});

properties("has one marker per (user, type, thread), which never moves back", () => {
  check(
    fc.property(history, (entries) => {
      const room = new Room(ROOM);
      const orders = new Map<string, number>();
      for (const { position, entry } of entries) {
        fold(room, position, entry);
        const keys = new Set<string>();
        for (const { user, type, thread, order } of room.markers) {
          const key = JSON.stringify([user, type, thread]);
          assert.not(keys.has(key), key);
          keys.add(key);
          assert.ok(order >= (orders.get(key) ?? Number.NEGATIVE_INFINITY));
          orders.set(key, order);
        }
      }
    }),
    RUNS,
  );
});

properties("is deterministic", () => {
  check(
    fc.property(history, (entries) =>
      assert.equal(stateOf(foldAll(entries), USERS), stateOf(foldAll(structuredClone(entries)), USERS)),
    ),
    RUNS,
  );
});

/** Folds entries, and sends a delta to the reader at each of `cuts`. Returns the room. */
function publish(entries: readonly Positioned[], cuts: readonly boolean[], reader: DeltaReader, published = 0): Room {
  const room = new Room(ROOM);
  const changes = new Changes();
  const flush = () => {
    const delta = changes.take(ROOM);
    if (delta === undefined) return;
    for (const { subject, payload } of [...eventMessages(0, delta), ...markerMessages(0, delta)]) {
      reader.receive(subject, decode(payload));
    }
  };
  entries.forEach(({ position, entry }, i) => {
    const outcome = fold(room, position, entry);
    changes.add(room, { position, at: 0, entry, outcome }, position <= published);
    if (cuts[i % cuts.length]) flush();
  });
  flush();
  return room;
}

/** The state of a reader of all deltas. A threaded marker may be missing if an unthreaded one covers it (MSC4102). */
function markersOf(room: Room): string[] {
  return sorted(
    [...room.markers]
      .filter((marker) => {
        const whole = marker.thread === null ? undefined : room.markers.get(marker.user, marker.type, null);
        return whole === undefined || publishedOrder(marker) > publishedOrder(whole);
      })
      .map((marker) => [marker.user, marker.type, marker.thread, marker.event, publishedOrder(marker)]),
  );
}

const cutPoints = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 });

const deltas = suite("deltas of any history");

deltas("give a reader all markers and orders, wherever they are cut", () => {
  check(
    fc.property(history, cutPoints, (entries, cuts) => {
      const reader = new DeltaReader();
      const room = publish(entries, cuts, reader);
      assert.equal(reader.markers(), markersOf(room));
      assert.equal(sorted([...reader.orders]), sorted([...room.events].map(([id, { order }]) => [id, order])));
      // Each delta names the one before it, so that a reader detects a gap.
      assert.equal([reader.gaps, reader.overlaps], [0, 0]);
    }),
    RUNS,
  );
});

deltas("change nothing when they are repeated with other cuts", () => {
  check(
    fc.property(history, cutPoints, cutPoints, (entries, cuts, others) => {
      const reader = new DeltaReader();
      publish(entries, cuts, reader);
      const before = reader.markers();
      const room = publish(entries, others, reader);
      assert.equal(reader.markers(), before);
      assert.equal(reader.markers(), markersOf(room));
      assert.is(reader.gaps, 0);
    }),
    RUNS,
  );
});

deltas("continue without a gap where the previous owner stopped", () => {
  check(
    fc.property(history, cutPoints, cutPoints, fc.nat(), fc.nat(), (entries, cuts, others, stop, back) => {
      // The previous owner published through `stopped`. The new one only knows of an earlier position.
      const stopped = stop % entries.length;
      const known = entries[back % (stopped + 1)]!.position;
      const reader = new DeltaReader();
      publish(entries.slice(0, stopped + 1), cuts, reader);
      const room = publish(entries, others, reader, known);
      assert.equal(reader.markers(), markersOf(room));
      assert.equal(sorted([...reader.orders]), sorted([...room.events].map(([id, { order }]) => [id, order])));
      assert.is(reader.gaps, 0);
    }),
    RUNS,
  );
});

properties.run();
deltas.run();
