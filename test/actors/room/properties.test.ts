import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  BACKFILLED,
  type Entry,
  HISTORY,
  isTimeline,
  LIVE,
  positionOf,
  RECEIPT,
  type TimelineEntry,
  UNKNOWN_THREAD,
} from "../../../actors/entry.ts";
import { Changes, preferred } from "../../../actors/partition/changes.ts";
import { fold, foldRecord, isRead } from "../../../actors/room/fold.ts";
import { addsNothing } from "../../../actors/room/fold-receipt.ts";
import { type Marker, publishedOrder } from "../../../actors/room/marker.ts";
import type { Outcome } from "../../../actors/room/outcome.ts";
import { Room } from "../../../actors/room/room.ts";
import { type Counting, summed } from "../../../actors/room/unread.ts";
import { decode } from "../../../src/bus/contract/codec.ts";
import { partitionOf } from "../../../src/bus/contract/subjects.ts";
import type { MatrixEvent } from "../../../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../../src/matrix/ids.ts";
import { FULLY_READ, READ } from "../../../src/matrix/receipt-types.ts";
import { eventMessages, markerMessages } from "../../../src/worker/delta-messages.ts";
import { EVENT_IDS, history, type Positioned, plainHistory, USERS } from "../../support/arbitraries.ts";
import { backfilled, history as historical, live, receipt, relates } from "../../support/entries.ts";
import { BASE, BOB, ROOM } from "../../support/example-room.ts";
import { describe, unreadOf } from "../../support/given.ts";
import { Model, type ModelMarker } from "../../support/model.ts";
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
  return isTimeline(entry) ? [entry[1]] : [];
}

const sorted = <T>(items: readonly T[]): string[] => items.map((item) => JSON.stringify(item)).sort();

/** What the model says of a marker, too. */
const markerFields = ({ user, type, thread, inferred = false, event, order, ts }: Marker | ModelMarker) => [
  user,
  type,
  thread,
  inferred,
  event,
  order,
  ts,
];

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
        assert.equal(sorted([...room.markers].map(markerFields)), sorted(model.markers.map(markerFields)));
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

properties("knows of each receipt whether a marker or a held one says as much already", () => {
  check(
    fc.property(history, (entries) => {
      const room = new Room(ROOM, BASE);
      for (const { position, entry } of entries) {
        if (entry[0] !== RECEIPT) {
          fold(room, position, entry);
          continue;
        }
        const isTold = addsNothing(room, entry);
        const before = sorted([...room.markers]);
        const { outcome } = fold(room, position, entry);
        if (isTold) assert.equal(sorted([...room.markers]), before);
        if (outcome === "stale") assert.ok(isTold);
        if (outcome === "advanced") assert.not(isTold);
        if (outcome === "advanced" || outcome === "held") assert.ok(addsNothing(room, entry), outcome);
        const isInferred = outcome === "advanced" && entry[4] === UNKNOWN_THREAD;
        if (isInferred) assert.not(addsNothing(room, entry, { inferred: false }), "it does not say itself");
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

/** The user, the type and the thread of a line. */
const slotOf = (line: string): string => JSON.stringify((JSON.parse(line) as unknown[]).slice(0, 3));

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
 * unthreaded one covers (MSC4102). Of one that had no place it may know a place where it once stood.
 */
function assertKnows(reader: DeltaReader, { room, hidden, stood }: Published): void {
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
  const withoutPlace = new Set([...hidden].map(slotOf));
  assert.equal(
    [...known].filter((marker) => !existing.has(marker) && !(withoutPlace.has(slotOf(marker)) && stood.has(marker))),
    [],
  );
}

interface Published {
  readonly room: Room;
  /** Markers that had no place when they were published. */
  readonly hidden: ReadonlySet<string>;
  /** All that a marker ever was. */
  readonly stood: ReadonlySet<string>;
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
  const stood = new Set<string>();
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
    for (const marker of room.markers) stood.add(line(marker));
    if (cuts[i % cuts.length]) flush();
  });
  flush();
  return { room, hidden, stood };
}

/** A room of a partition's log, as it is folded, and what each of its entries did. */
interface Followed {
  readonly room: Room;
  /** By event, in the sequence of their entries. */
  readonly orders: Map<string, number>;
  readonly counts: Map<UserId, Counting>;
}

/** What F1 gives an event: a function of the orders before it alone. */
function nextOrder(kind: number, orders: readonly number[]): number {
  const positive = orders.filter((order) => order > 0);
  const negative = orders.filter((order) => order < 0);
  if (kind === LIVE) return Math.max(BASE, ...positive) + 1;
  if (kind === HISTORY && negative.length === 0) return Math.min(BASE + 1, ...positive) - 1;
  return Math.min(0, ...negative) - 1;
}

/** Checks what an entry did, and what readers and counts get from it, against the events alone. */
function follow({ room, orders, counts }: Followed, entry: Entry, outcome: Outcome): void {
  const known = [...orders.values()];
  const isNew = isTimeline(entry) && !orders.has(entry[1].event_id);
  assert.is(outcome.outcome === "ordered", isNew);
  if (outcome.outcome === "ordered") {
    const [kind, event] = entry as TimelineEntry;
    assert.is(outcome.order, nextOrder(kind, known));
    orders.set(event.event_id, outcome.order);
  }
  assert.equal(new Map([...room.events].map(([id, { order }]) => [id, order])), orders);
  const positive = [...orders.values()].filter((order) => order > 0).sort((a, b) => a - b);
  assert.equal(
    room.timeline.map(({ order }) => order),
    positive,
  );
  for (const user of USERS) {
    const reading = room.readingOf(user);
    const counting = room.unread.counting(reading, counts.get(user));
    counts.set(user, counting);
    assert.equal(summed(counting), room.unread.count(reading));
  }
}

/** Folds a log of several rooms, in records of up to `sizes` entries, over `partitions`. Returns the orders of each room. */
function foldLog(
  log: readonly (readonly [room: RoomId, entry: Entry])[],
  partitions: number,
  sizes: readonly number[],
): Map<RoomId, Map<string, number>> {
  const rooms = new Map<RoomId, Followed>();
  const sequences: number[] = Array(partitions).fill(0);
  for (let at = 0, record = 0; at < log.length; record++) {
    const [id] = log[at]!;
    const size = sizes[record % sizes.length]!;
    let end = at + 1;
    while (end < log.length && log[end]![0] === id && end - at < size) end++;
    const partition = partitionOf(id, partitions);
    const sequence = ++sequences[partition]!;
    const followed = rooms.get(id) ?? { room: new Room(id, BASE), orders: new Map(), counts: new Map() };
    rooms.set(id, followed);
    const entries = log.slice(at, end).map(([, entry]) => entry);
    foldRecord(followed.room, { sequence, at: 0, entries }, (_, { entry, outcome }) =>
      follow(followed, entry, outcome),
    );
    at = end;
  }
  return new Map([...rooms].map(([id, { orders }]) => [id, orders]));
}

const LOG_ROOMS = ["!a:one.example", "!b:one.example", "!c:one.example"] as RoomId[];
const layout = fc.record({
  partitions: fc.integer({ min: 1, max: 5 }),
  sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }),
});

const orders = suite("orders of any log");

orders("follow from a room's events alone: no partitions, records, duplicates, state or receipts change them", () => {
  check(
    fc.property(history, fc.infiniteStream(fc.nat(2)), layout, layout, (entries, rooms, one, other) => {
      const log = entries.map(({ entry }) => [LOG_ROOMS[rooms.next().value as number]!, entry] as const);
      const found = foldLog(log, one.partitions, one.sizes);
      assert.equal(foldLog(log, other.partitions, other.sizes), found);
      const seen = new Set<string>();
      const events = log.filter(([room, entry]) => {
        const key = JSON.stringify([room, eventIn(entry)[0]?.event_id]);
        if (eventIn(entry).length === 0 || seen.has(key)) return false;
        seen.add(key);
        return true;
      });
      const ofEvents = foldLog(events, 1, [1]);
      for (const [room, orders] of found) assert.equal(orders, ofEvents.get(room) ?? new Map());
    }),
    RUNS,
  );
});

orders("are those in which a homeserver made the events, wherever pushes, history and backfill share or meet", () => {
  const made = fc.record({
    count: fc.integer({ min: 1, max: 24 }),
    pushed: fc.nat(),
    depth: fc.nat(),
    again: fc.array(fc.nat(), { maxLength: 12 }),
    receipts: fc.array(fc.nat(), { maxLength: 6 }),
  });
  check(
    fc.property(made, fc.infiniteStream(fc.boolean()), layout, (plan, chances, { partitions, sizes }) => {
      const ids = Array.from({ length: plan.count }, (_, i) => `$${i}`);
      const oldestPushed = plan.pushed % (plan.count + 1);
      const oldestUnread = plan.depth % (oldestPushed + 1);
      const pushes = ids.slice(oldestPushed).map((id) => live(id));
      const imported = ids
        .slice(0, oldestPushed)
        .map((id, i) => (i >= oldestUnread ? historical(id) : backfilled(id)))
        .reverse();
      const log: [RoomId, Entry][] = [];
      while (pushes.length + imported.length > 0) {
        const takesPush = pushes.length > 0 && (imported.length === 0 || chances.next().value === true);
        log.push([LOG_ROOMS[0]!, (takesPush ? pushes : imported).shift()!]);
        // Repetitions of what is known, however it comes, and receipts.
        const known = log[plan.again.shift() ?? log.length]?.[1][1];
        if (typeof known === "object") log.push([LOG_ROOMS[0]!, [takesPush ? HISTORY : LIVE, known]]);
        const target = plan.receipts.shift();
        if (target !== undefined) log.push([LOG_ROOMS[0]!, receipt(BOB, ids[target % ids.length]!)]);
      }
      const found = foldLog(log, partitions, sizes).get(LOG_ROOMS[0]!)!;
      const expected = ids.map((_, i) => (i < oldestUnread ? i - oldestUnread : BASE + 1 + i - oldestPushed));
      assert.equal(
        ids.map((id) => found.get(id)),
        expected,
      );
    }),
    RUNS,
  );
});

const cutPoints = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 });

const deltas = suite("deltas of any history");

deltas("give a reader all markers and orders, wherever they are cut", () => {
  check(
    fc.property(plainHistory, cutPoints, (entries, cuts) => {
      const reader = new DeltaReader();
      const { room, hidden, stood } = publish(entries, cuts, reader);
      assertKnows(reader, { room, hidden, stood });
      assert.equal(sorted([...reader.orders]), sorted([...room.events].map(([id, { order }]) => [id, order])));
      // Each delta names the one before it, so that a reader detects a gap.
      assert.equal([reader.gaps, reader.overlaps], [0, 0]);
    }),
    RUNS,
  );
});

deltas("leave a marker where it was if its new place is another's: two threads of an event that isn't settled", () => {
  const reader = new DeltaReader();
  const unsettled = (id: string) => live(id, { content: relates("m.annotation", "$not-here") });
  const entries = [
    live("$0"),
    live("$1", { content: relates("m.thread", "$0") }),
    receipt(BOB, "$1", { thread: "$0" }),
    receipt(BOB, "$2", { thread: "main" }),
    receipt(BOB, "$2", { thread: "$0" }),
    unsettled("$2"),
  ].map((entry, i) => ({ position: positionOf(i + 1, 0), entry }));
  const published = publish(entries, [true], reader);
  assertKnows(reader, published);
  assert.is(published.room.markers.get(BOB, READ, "$0" as EventId)?.event, "$2");
  assert.equal(
    reader.markers().map((marker) => JSON.parse(marker).slice(2, 4)),
    [
      ["$0", "$1"],
      ["main", "$2"],
    ],
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
      const { room, hidden, stood } = publish(entries, others, reader, known);
      assertKnows(reader, { room, hidden, stood });
      assert.equal(sorted([...reader.orders]), sorted([...room.events].map(([id, { order }]) => [id, order])));
      assert.is(reader.gaps, 0);
    }),
    RUNS,
  );
});

properties.run();
orders.run();
deltas.run();
