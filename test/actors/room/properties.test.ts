import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BACKFILLED, type Entry, HISTORY, LIVE, RECEIPT, STATE, type TimelineEntry } from "../../../actors/entry.ts";
import { Changes, preferred } from "../../../actors/partition/changes.ts";
import { fold, isRead } from "../../../actors/room/fold.ts";
import { type Marker, publishedOrder } from "../../../actors/room/markers.ts";
import { Room } from "../../../actors/room/room.ts";
import { decode } from "../../../src/bus/contract/codec.ts";
import type { MatrixEvent } from "../../../src/matrix/event.ts";
import type { EventId } from "../../../src/matrix/ids.ts";
import { FULLY_READ } from "../../../src/matrix/receipt-types.ts";
import { eventMessages, markerMessages } from "../../../src/worker/delta-messages.ts";
import { EVENT_IDS, history, type Positioned, plainHistory, USERS } from "../../support/arbitraries.ts";
import { BASE, describe, ROOM, unreadOf } from "../../support/given.ts";
import { Model } from "../../support/model.ts";
import { check } from "../../support/property.ts";
import { DeltaReader } from "../../support/reader.ts";
import { stateOf } from "../../support/room-state.ts";

const RUNS = { numRuns: 150 };

function foldAll(entries: readonly Positioned[]): Room {
  const room = new Room(ROOM, BASE);
  for (const { position, entry } of entries) fold(room, position, entry);
  return room;
}

function eventIn(entry: Entry): MatrixEvent[] {
  return entry[0] === RECEIPT || entry[0] === STATE ? [] : [entry[1]];
}

const sorted = <T>(items: readonly T[]): string[] => items.map((item) => JSON.stringify(item)).sort();

const properties = suite("fold of any history");

// E14
properties("equals a naive model of the rules after every entry", () => {
  check(
    fc.property(history, (entries) => {
      const room = new Room(ROOM, BASE);
      const model = new Model(BASE);
      for (const { position, entry } of entries) {
        assert.equal(describe(fold(room, position, entry)), model.fold(position, entry));
        assert.equal(
          [...room.events].map(([id, { order, thread }]) => ({ id, order, thread })),
          model.events.map(({ id, order }) => ({ id: id as EventId, order, thread: model.thread(id) as EventId })),
        );
        assert.equal(
          sorted(
            [...room.markers].map(({ user, type, thread, event, order, ts, inferred = false }) => [
              user,
              type,
              thread,
              inferred,
              event,
              order,
              ts,
            ]),
          ),
          sorted(
            model.markers.map(({ user, type, thread, inferred, event, order, ts }) => [
              user,
              type,
              thread,
              inferred,
              event,
              order,
              ts,
            ]),
          ),
        );
        assert.equal([...room.held], model.held);
        for (const user of USERS) {
          for (const id of EVENT_IDS) assert.is(isRead(room, user, id as EventId), model.isRead(user, id));
          assert.equal(unreadOf(room, user), model.unread(user));
        }
      }
    }),
    RUNS,
  );
});

properties("gives orders that never change: live ones grow, those of history and backfill fall", () => {
  check(
    fc.property(history, (entries) => {
      const room = new Room(ROOM, BASE);
      const first = new Map<string, number>();
      for (const { position, entry } of entries) {
        const known = [...first.values()];
        const outcome = fold(room, position, entry);
        for (const [id, { order }] of room.events) {
          if (first.has(id)) assert.is(order, first.get(id));
          first.set(id, order);
        }
        if (outcome.outcome !== "ordered") assert.is(first.size, known.length);
        else if (entry[0] === LIVE) assert.ok(outcome.order > Math.max(BASE, ...known));
        else assert.ok(outcome.order < Math.min(BASE + 1, ...known));
      }
    }),
    RUNS,
  );
});

properties("gives threads that don't depend on the order of arrival, nor on how it comes", () => {
  check(
    fc.property(history, fc.infiniteStream(fc.nat()), (entries, chances) => {
      const events = [
        ...new Map(entries.flatMap(({ entry }) => eventIn(entry)).map((each) => [each.event_id, each])).values(),
      ];
      const shuffled = events
        .map((event) => ({ event, at: chances.next().value as number }))
        .sort((a, b) => a.at - b.at)
        .map(({ event }) => event);
      const threads = (arrival: readonly MatrixEvent[], kinds: readonly TimelineEntry[0][]) => {
        const room = new Room(ROOM, BASE);
        for (const [i, event] of arrival.entries()) fold(room, i + 1, [kinds[i % kinds.length]!, event]);
        return Object.fromEntries([...room.events].map(([id, { thread }]) => [id, thread]));
      };
      assert.equal(threads(shuffled, [BACKFILLED, LIVE, HISTORY]), threads(events, [LIVE]));
    }),
    RUNS,
  );
});

properties(
  "has one marker for a (user, type, thread), which never moves back, but for an accepted m.fully_read",
  () => {
    check(
      fc.property(plainHistory, (entries) => {
        const room = new Room(ROOM, BASE);
        const orders = new Map<string, number>();
        for (const { position, entry } of entries) {
          fold(room, position, entry);
          const keys = new Set<string>();
          for (const { user, type, thread, order } of room.markers) {
            const key = JSON.stringify([user, type, thread]);
            assert.not(keys.has(key), key);
            keys.add(key);
            assert.ok(type === FULLY_READ || order >= (orders.get(key) ?? Number.NEGATIVE_INFINITY));
            orders.set(key, order);
          }
        }
      }),
      RUNS,
    );
  },
);

properties("is deterministic", () => {
  check(
    fc.property(history, (entries) =>
      assert.equal(stateOf(foldAll(entries), USERS), stateOf(foldAll(structuredClone(entries)), USERS)),
    ),
    RUNS,
  );
});

/** Its line in a reader. */
const line = (marker: Marker): string =>
  JSON.stringify([marker.user, marker.type, marker.thread, marker.event, publishedOrder(marker)]);

/** Markers that have no place in an `m.receipt` event: of the same user, type and event as a preferred one. */
function withoutPlace(room: Room): Marker[] {
  const all = [...room.markers];
  return all.filter((marker) =>
    all.some(
      (other) =>
        other.user === marker.user &&
        other.type === marker.type &&
        other.event === marker.event &&
        preferred(other, marker) !== marker,
    ),
  );
}

/**
 * A reader of all deltas knows markers of the room alone, and all of them, but for those that had no place, and those that an
 * unthreaded one covers (MSC4102).
 */
function assertKnows(reader: DeltaReader, { room, hidden }: Published): void {
  const all = [...room.markers];
  const needed = all.filter((marker) => {
    const unthreaded = room.markers.get(marker.user, marker.type, null) ?? marker;
    return marker === unthreaded || publishedOrder(marker) > publishedOrder(unthreaded);
  });
  const known = new Set(reader.markers());
  assert.equal(
    needed.map(line).filter((marker) => !known.has(marker) && !hidden.has(marker)),
    [],
  );
  const existing = new Set(all.map(line));
  assert.equal(
    [...known].filter((marker) => !existing.has(marker)),
    [],
  );
}

interface Published {
  readonly room: Room;
  /** Markers that had no place when they were published. */
  readonly hidden: ReadonlySet<string>;
}

/** Folds entries, and hands the reader a delta wherever `cuts` say so. */
function publish(
  entries: readonly Positioned[],
  cuts: readonly boolean[],
  reader: DeltaReader,
  published = 0,
): Published {
  const room = new Room(ROOM, BASE);
  const changes = new Changes();
  const hidden = new Set<string>();
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
    for (const marker of withoutPlace(room)) hidden.add(line(marker));
    if (cuts[i % cuts.length]) flush();
  });
  flush();
  return { room, hidden };
}

const cutPoints = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 });

const deltas = suite("deltas of any history");

deltas("give a reader all markers and orders, wherever they are cut", () => {
  check(
    fc.property(plainHistory, cutPoints, (entries, cuts) => {
      const reader = new DeltaReader();
      const { room, hidden } = publish(entries, cuts, reader);
      assertKnows(reader, { room, hidden });
      assert.equal(sorted([...reader.orders]), sorted([...room.events].map(([id, { order }]) => [id, order])));
      // Each delta names the one before it, so that a reader detects a gap.
      assert.equal([reader.gaps, reader.overlaps], [0, 0]);
    }),
    RUNS,
  );
});

deltas("change nothing when they are repeated with other cuts", () => {
  check(
    fc.property(plainHistory, cutPoints, cutPoints, (entries, cuts, others) => {
      const reader = new DeltaReader();
      publish(entries, cuts, reader);
      const before = reader.markers();
      const published = publish(entries, others, reader);
      // Cut otherwise, a place may show the marker that another one had hidden.
      const after = new Set(reader.markers());
      assert.ok(before.every((marker) => after.has(marker)));
      assertKnows(reader, published);
      assert.is(reader.gaps, 0);
    }),
    RUNS,
  );
});

deltas("continue without a gap where the previous owner stopped", () => {
  check(
    fc.property(plainHistory, cutPoints, cutPoints, fc.nat(), fc.nat(), (entries, cuts, others, stop, back) => {
      // The owner before published through `stopped`; the new one knows that only of an earlier position.
      const stopped = stop % entries.length;
      const known = entries[back % (stopped + 1)]!.position;
      const reader = new DeltaReader();
      publish(entries.slice(0, stopped + 1), cuts, reader);
      const { room, hidden } = publish(entries, others, reader, known);
      assertKnows(reader, { room, hidden });
      assert.equal(sorted([...reader.orders]), sorted([...room.events].map(([id, { order }]) => [id, order])));
      assert.is(reader.gaps, 0);
    }),
    RUNS,
  );
});

properties.run();
deltas.run();
