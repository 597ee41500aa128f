/** The cache of recent deltas: visibility, sharing and eviction. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Delta } from "../../../src/bus/contract/messages.ts";
import { filterParam } from "../../../src/gateway/filter.ts";
import { RecentDeltas } from "../../../src/gateway/sync/recent-deltas.ts";
import { sharedSection, withCounts } from "../../../src/gateway/sync/shared-sections.ts";
import { CHANGES_BYTES_MAX, CHANGES_DELTAS_MAX, GATEWAY_LAG_MAX, RENDERED_BYTES_MAX } from "../../../src/limits.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";
import { liveEvents, orderedEvent, receiptDelta } from "../../support/deltas.ts";
import { usedBytes } from "../../support/heap.ts";

const ROOM = "!r:a.org" as RoomId;
const OTHER = "!other:a.org" as RoomId;
const ALICE = "@alice:a.org" as UserId;
/** Most of what a test's cache may take. */
const LONG = "x".repeat(10_000);

const BOB = "@bob:a.org" as UserId;
const CAROL = "@carol:a.org" as UserId;

type Body = Record<string, unknown>;

const receipt = (user: UserId, event: string, type = "m.read", room = ROOM) =>
  receiptDelta(room, event, { user, type });

const own = (user: UserId, event: string) =>
  ({ ...receipt(user, event, "m.read.private"), type: "private", user_id: user }) as unknown as Delta;

const events = (position: number, ...list: Body[]) => liveEvents(ROOM, list, { position });

/** The same, but not live. */
const older = (kind: "history" | "backfill", position: number, ...list: Body[]) =>
  ({ ...events(position, ...list), kind }) as unknown as Delta;

const message = (order: number, more: Body = {}, unsigned: Body = {}) =>
  orderedEvent(order, { sender: ALICE, content: { body: `${order}` }, unsigned: { order, ...unsigned }, ...more });

/** Deltas of one partition, numbered from 1. */
function cacheOf(...deltas: Delta[]): RecentDeltas {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 0, published: 0, lineage: "" });
  for (const [i, delta] of deltas.entries()) recent.add(0, delta, { sequence: i + 1, published: i + 1, lineage: "" });
  return recent;
}

const ids = (recent: RecentDeltas, user: UserId, after: number) =>
  recent.changes(ROOM, user, after)?.receipts.flatMap((content) => Object.keys(content));

const recentDeltas = suite("recent deltas");

recentDeltas("history and backfill enter no timeline", () => {
  const recent = cacheOf(events(1, message(5)), older("history", 2, message(4)), older("backfill", 3, message(-1)));
  assert.equal(
    recent.changes(ROOM, ALICE, 0)?.events.map(({ event_id }) => event_id),
    ["$5"],
  );
  assert.equal(recent.changes(ROOM, ALICE, 1)?.events, []);
});

recentDeltas("nothing older is read of a user who was erased, but what comes later is", () => {
  const erasure = { ...receipt(CAROL, "$2"), erased: { [BOB]: ["$5"] } } as unknown as Delta;
  const recent = cacheOf(events(1, message(5, { sender: BOB })), receipt(BOB, "$1"), own(BOB, "$1"), erasure);
  assert.equal(ids(recent, BOB, 0), ["$2"]);
  assert.equal(
    recent.changes(ROOM, BOB, 0)?.events.map(({ event_id, content, unsigned }) => [event_id, content, unsigned]),
    [["$5", {}, { order: 5 }]],
  );
  recent.add(0, receipt(BOB, "$3"), { sequence: 5, published: 5, lineage: "" });
  assert.equal(ids(recent, BOB, 3), ["$2", "$3"]);
});

recentDeltas("users who may see the same get the same object, and private receipts are only for their user", () => {
  const recent = cacheOf(receipt(ALICE, "$1"), own(BOB, "$2"), receipt(CAROL, "$3"));
  assert.equal(ids(recent, BOB, 0), ["$1", "$2", "$3"]);
  assert.equal(ids(recent, ALICE, 0), ["$1", "$3"]);
  assert.is(recent.changes(ROOM, ALICE, 0), recent.changes(ROOM, CAROL, 0));
  assert.is.not(recent.changes(ROOM, ALICE, 0), recent.changes(ROOM, BOB, 0));
  assert.is(recent.changes(ROOM, ALICE, 1), recent.changes(ROOM, BOB, 2), "after the private receipt, it is the same");
  assert.equal(ids(recent, BOB, 2), ["$3"]);
  assert.is(recent.changes(ROOM, ALICE, 3), undefined);
  assert.is(recent.changes(OTHER, ALICE, 0), undefined);
});

recentDeltas("of two m.fully_read the one of the greater position is the newer, whichever comes last", () => {
  const read = (position: number, event: string) =>
    ({
      type: "private",
      user_id: BOB,
      room_id: ROOM,
      position,
      fully_read: { event_id: event, order: 1 },
    }) as unknown as Delta;
  const recent = cacheOf(read(10, "$3"), read(20, "$1"), read(10, "$3"));
  assert.is(recent.changes(ROOM, BOB, 0)?.fullyRead?.event_id, "$1");
  assert.is(recent.changes(ROOM, BOB, 2)?.fullyRead, undefined, "what the client has is newer");
  assert.is(recent.changes(ROOM, ALICE, 0), undefined);
  const small = new RecentDeltas(1, 11_400);
  small.begin(0, { sequence: 0, published: 0, lineage: "" });
  small.add(0, read(30, "$2"), { sequence: 1, published: 1, lineage: "" });
  small.add(0, receipt(ALICE, `$1${LONG}`), { sequence: 2, published: 2, lineage: "" });
  assert.not.ok(small.covers(0, { sequence: 0 }));
  small.add(0, read(20, "$2"), { sequence: 3, published: 3, lineage: "" });
  assert.is(small.changes(ROOM, BOB, 2)?.fullyRead?.event_id, "$2", "evicted deltas don't count");
});

recentDeltas("the private receipt of another user is not a change", () => {
  const recent = cacheOf(receipt(ALICE, "$1"), own(BOB, "$2"));
  assert.is(recent.changes(ROOM, ALICE, 1), undefined);
  assert.equal(ids(recent, BOB, 1), ["$2"]);
});

recentDeltas("nothing of a log that was replaced is left, and other partitions keep what they have", () => {
  const recent = new RecentDeltas(2);
  for (const partition of [0, 1]) recent.begin(partition, { sequence: 0, published: 0, lineage: "" });
  recent.add(0, events(1_000, message(1_000)), { sequence: 1, published: 1_000, lineage: "" });
  recent.add(1, receipt(ALICE, "$1", "m.read", OTHER), { sequence: 1, published: 1_000, lineage: "" });
  recent.restart(0, { sequence: 1, published: 0, lineage: "" });
  assert.is(recent.changes(ROOM, ALICE, 0), undefined);
  assert.ok(recent.changes(OTHER, ALICE, 0));
  assert.not.ok(recent.covers(0, { sequence: 0 }));
  assert.not.ok(recent.hasEvents(0, ROOM, 900), "the old log's position");
  recent.add(0, events(10, message(10)), { sequence: 2, published: 9, lineage: "" });
  assert.is(recent.changes(ROOM, ALICE, 1)!.events.length, 1);
});

recentDeltas("a new delta or a redaction invalidates what is shared", () => {
  const recent = cacheOf(events(10, message(10)));
  const before = recent.changes(ROOM, BOB, 0);
  const redaction = message(11, { type: "m.room.redaction", redacts: "$10", content: {} });
  recent.add(0, events(11, redaction), { sequence: 2, published: 2, lineage: "" });
  const after = recent.changes(ROOM, BOB, 0);
  assert.is.not(after, before);
  assert.equal(after!.events[0]!.content, {});
  assert.is(after!.events[0]!.unsigned.order, 10);
});

recentDeltas("it covers its own deltas, and marks of gateways that are slightly ahead", () => {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 10, published: 0, lineage: "" });
  recent.add(0, receipt(ALICE, "$1"), { sequence: 11, published: 0, lineage: "" });
  const covers = (sequence: number) => recent.covers(0, { sequence });
  assert.equal([9, 10, 11, 11 + GATEWAY_LAG_MAX, 12 + GATEWAY_LAG_MAX].map(covers), [false, true, true, true, false]);
});

recentDeltas("the oldest delta is evicted first, and is no longer covered", () => {
  const recent = new RecentDeltas(1, 24_000);
  recent.begin(0, { sequence: 0, published: 0, lineage: "" });
  const add = (sequence: number, delta: Delta) => recent.add(0, delta, { sequence, published: sequence, lineage: "" });
  add(1, receipt(ALICE, `$0${LONG}`, "m.read", OTHER));
  add(2, receipt(ALICE, `$1${LONG}`));
  assert.ok(recent.covers(0, { sequence: 0 }));
  add(3, receipt(ALICE, `$2${LONG}`));
  assert.not.ok(recent.covers(0, { sequence: 0 }));
  assert.ok(recent.covers(0, { sequence: 1 }));
  assert.is(recent.changes(OTHER, ALICE, 0), undefined);
  assert.equal(ids(recent, ALICE, 1), [`$1${LONG}`, `$2${LONG}`]);
});

recentDeltas("it says how far a partition was published after each delta that it covers, and what was sent", () => {
  const recent = new RecentDeltas(2, 11_600);
  recent.begin(1, { sequence: 10, published: 100, lineage: "" });
  const add = (sequence: number, delta: Delta) =>
    recent.add(1, delta, { sequence, published: sequence * 10, lineage: "" });
  add(11, events(1, message(1), message(2)));
  add(12, receipt(ALICE, "$1"));
  add(13, older("backfill", 3, message(-1)));
  add(14, events(4, message(3)));
  const published = () => [9, 10, 11, 12, 13, 14, 15].map((sequence) => recent.publishedAt(1, sequence));
  assert.equal(published(), [undefined, 100, 110, 120, 130, 140, undefined]);
  assert.equal([...recent.sentBefore(ROOM, 13)], ["$1", "$2"]);
  assert.equal([...recent.sentBefore(ROOM, 14)], ["$1", "$2", "$3"]);
  assert.is(recent.sentBefore(OTHER, 14).size, 0);
  add(15, receipt(ALICE, `$2${LONG}`));
  assert.equal(published(), [undefined, undefined, undefined, undefined, undefined, 140, 150]);
  assert.equal(recent.covers(1, { sequence: 14 }), true);
  assert.equal([...recent.sentBefore(ROOM, 14)], []);
  recent.begin(1, { sequence: 20, published: 200, lineage: "" });
  assert.equal([recent.publishedAt(1, 15), recent.publishedAt(1, 20)], [undefined, 200]);
});

recentDeltas("redactions are found by their event, not by a search", () => {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 0, published: 0, lineage: "" });
  const add = (sequence: number, delta: Delta) => recent.add(0, delta, { sequence, published: sequence, lineage: "" });
  const count = 2_000;
  for (let i = 1; i <= count; i++) add(i, events(i, message(i)));
  const redactions = Array.from({ length: 1_024 }, (_, i) =>
    message(count + 1 + i, { type: "m.room.redaction", redacts: `$${i + 1}`, content: {} }),
  );
  const began = process.cpuUsage();
  add(count + 1, events(count + 1, ...redactions));
  const { user } = process.cpuUsage(began);
  assert.ok(user < 500_000, `${user} µs of processor`);
  const shown = recent.changes(ROOM, BOB, 0)!.events;
  assert.is(shown.filter(({ content }) => Object.keys(content).length === 0).length, 2 * 1_024);
  assert.is((shown[0]!.unsigned.redacted_because as Body).event_id, `$${count + 1}`);
  assert.is(shown[0]!.unsigned.order, 1);
});

recentDeltas("an event that came twice is redacted twice", () => {
  const recent = cacheOf(events(1, message(1)), events(2, message(1)));
  const redaction = message(2, { type: "m.room.redaction", redacts: "$1", content: {} });
  recent.add(0, events(3, redaction), { sequence: 3, published: 3, lineage: "" });
  assert.equal(
    recent.changes(ROOM, BOB, 0)!.events.map(({ content }) => content),
    [{}, {}, {}],
  );
});

recentDeltas("a room in which much changed is known to be long to read", () => {
  const recent = cacheOf(...Array.from({ length: CHANGES_DELTAS_MAX + 1 }, (_, i) => receipt(ALICE, `$${i}`)));
  assert.equal(
    [0, 1, CHANGES_DELTAS_MAX + 1].map((after) => recent.isLong(ROOM, after, 10)),
    [true, false, false],
  );
  assert.is(recent.isLong(OTHER, 0, 10), false);
  const large = cacheOf(
    events(1, message(1)),
    events(2, message(2, { content: { body: "x".repeat(CHANGES_BYTES_MAX) } })),
  );
  assert.equal(
    [0, 1, 2].map((after) => large.isLong(ROOM, after, 10)),
    [true, true, false],
  );
  const busy = cacheOf(events(1, message(1), message(2)), receipt(ALICE, "$1"), events(3, message(3)));
  const isMore = (after: number, than: number) => busy.isLong(ROOM, after, than);
  assert.equal(
    [isMore(0, 3), isMore(0, 2), isMore(1, 1), isMore(2, 1), isMore(0, 0)],
    [false, true, false, false, false],
  );
});

const BOUND = 8_388_608;

const LOADS: Record<string, (n: number) => Delta> = {
  receipts: (n) => receipt(`@u${n}:a.org` as UserId, `$${n}`, "m.read", `!${n % 20}:a.org` as RoomId),
  "receipts, each in a room of its own": (n) => receipt(ALICE, `$${n}`, "m.read", `!${n}:a.org` as RoomId),
  "private receipts": (n) => own(`@u${n}:a.org` as UserId, `$${n}`),
  messages: (n) => events(n, message(n)),
  "messages of one value per byte": (n) =>
    events(n, message(n, { content: { list: Array.from({ length: 5_000 }, () => ({})) } })),
  "large messages": (n) => events(n, message(n, { content: { body: `${n}`.repeat(10_000) } })),
};

for (const [name, load] of Object.entries(LOADS)) {
  recentDeltas(`it costs what it may cost: ${name}`, () => {
    const before = usedBytes();
    const recent = new RecentDeltas(1, BOUND);
    recent.begin(0, { sequence: 0, published: 0, lineage: "" });
    let sequence = 0;
    while (recent.covers(0, { sequence: 0 }) || sequence % 500 !== 0) {
      sequence++;
      recent.add(0, load(sequence), { sequence, published: sequence, lineage: "" });
    }
    const used = usedBytes() - before;
    assert.ok(used < 1.25 * BOUND, `${used} bytes`);
    assert.ok(used > 0.6 * BOUND, `${used} bytes: it could keep more`);
    assert.ok(recent.covers(0, { sequence }));
  });
}

recentDeltas.run();

const sections = suite("shared sections");

const viewer = (user: UserId, device: string, filter = filterParam(undefined)) => ({
  device: { user, id: device },
  filter,
});

sections("a section is rendered once per filter", () => {
  const changes = cacheOf(events(10, message(10)), receipt(BOB, "$10")).changes(ROOM, ALICE, 0)!;
  const all = JSON.parse(sharedSection(changes, ROOM, viewer(ALICE, "A"))!);
  assert.is(all.timeline.events.length, 1);
  assert.is(all.ephemeral.events.length, 1);
  const filter = filterParam('{"room":{"ephemeral":{"types":[]}}}');
  assert.is(JSON.parse(sharedSection(changes, ROOM, viewer(BOB, "B", filter))!).ephemeral.events.length, 0);
  assert.is(sharedSection(changes, ROOM, viewer(CAROL, "C")), JSON.stringify(all));
  const nothing = filterParam('{"room":{"ephemeral":{"types":[]},"timeline":{"types":[]}}}');
  for (let i = 0; i < 2; i++) {
    assert.is(sharedSection(changes, ROOM, viewer(CAROL, "C", nothing)), undefined);
    const counts = JSON.parse(sharedSection(changes, ROOM, viewer(BOB, "B", nothing))!);
    assert.equal([counts.timeline.events, counts.ephemeral.events], [[], []], "Bob has read: his counts changed");
  }
});

sections("whatever filters clients invent, what is rendered for them has a bound", () => {
  const body = "x".repeat(50_000);
  const deltas = Array.from({ length: 20 }, (_, i) => events(i + 1, message(i + 1, { content: { body } })));
  const recent = cacheOf(...deltas);
  const before = usedBytes();
  for (let i = 0; i < 200; i++) {
    const changes = recent.changes(ROOM, ALICE, i % 20)!;
    const filter = filterParam(`{"room":{"timeline":{"limit":99,"not_senders":["@${i}:a.org"]}}}`);
    const text = sharedSection(changes, ROOM, viewer(ALICE, "A", filter))!;
    assert.is(JSON.parse(text).timeline.events.length, 20 - (i % 20));
  }
  const grown = usedBytes() - before;
  assert.ok(grown < 1.2 * RENDERED_BYTES_MAX, `${grown} bytes`);
  assert.ok(recent.changes(ROOM, ALICE, 0));
});

sections("a transaction id is sent only to its device, whichever device syncs first", () => {
  const sent = message(10, {}, { transaction_id: "txn", device_id: "A" });
  const changes = cacheOf(events(10, sent)).changes(ROOM, ALICE, 0)!;
  const seen = (user: UserId, device: string) =>
    JSON.parse(sharedSection(changes, ROOM, viewer(user, device))!).timeline.events[0].unsigned;
  assert.equal(seen(ALICE, "A"), { order: 10, transaction_id: "txn" });
  assert.equal(seen(BOB, "A"), { order: 10 });
  assert.equal(seen(ALICE, "B"), { order: 10 });
});

sections("counts are added per user, with separate threads if the filter asks for them", () => {
  const counts = { unthreaded: { count: 3 }, main: { count: 1 }, threads: { $root: { count: 2 } } };
  const apart = filterParam('{"room":{"timeline":{"unread_thread_notifications":true}}}');
  const notifications = (count: number) => ({ notification_count: count, highlight_count: 0 });
  for (let i = 0; i < 2; i++) {
    assert.equal(JSON.parse(withCounts('{"a":1}', counts, filterParam(undefined))), {
      a: 1,
      unread_notifications: notifications(3),
    });
    assert.equal(JSON.parse(withCounts('{"a":1}', counts, apart)), {
      a: 1,
      unread_notifications: notifications(1),
      unread_thread_notifications: { $root: notifications(2) },
    });
  }
});

sections.run();
