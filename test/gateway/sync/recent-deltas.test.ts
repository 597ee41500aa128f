/** The cache of recent deltas: visibility, sharing and eviction. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Delta } from "../../../src/bus/contract/messages.ts";
import { filterParam } from "../../../src/gateway/filter.ts";
import { RecentDeltas } from "../../../src/gateway/sync/recent-deltas.ts";
import { sharedSection, withCounts } from "../../../src/gateway/sync/shared-sections.ts";
import { GATEWAY_LAG_MAX, RECENT_BYTES_MAX } from "../../../src/limits.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";

const ROOM = "!r:a.org" as RoomId;
const OTHER = "!other:a.org" as RoomId;
const ALICE = "@alice:a.org" as UserId;
const BOB = "@bob:a.org" as UserId;
const CAROL = "@carol:a.org" as UserId;

type Body = Record<string, unknown>;

const receipt = (user: UserId, event: string, type = "m.read", room = ROOM) =>
  ({
    type: "receipts",
    room_id: room,
    position: 1,
    event: { type: "m.receipt", content: { [event]: { [type]: { [user]: { ts: 1, order: 1 } } } } },
  }) as unknown as Delta;

const own = (user: UserId, event: string) =>
  ({ ...receipt(user, event, "m.read.private"), type: "private", user_id: user }) as unknown as Delta;

const events = (position: number, ...list: Body[]) =>
  ({ type: "events", kind: "live", room_id: ROOM, position, events: list }) as unknown as Delta;

/** The same, but not live. */
const older = (kind: "history" | "backfill", position: number, ...list: Body[]) =>
  ({ ...events(position, ...list), kind }) as unknown as Delta;

const message = (order: number, more: Body = {}, unsigned: Body = {}) => ({
  event_id: `$${order}`,
  type: "m.room.message",
  sender: ALICE,
  content: { body: `${order}` },
  unsigned: { order, ...unsigned },
  ...more,
});

/** Deltas of one partition, numbered from 1. */
function cacheOf(...deltas: Delta[]): RecentDeltas {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 0, published: 0 });
  for (const [i, delta] of deltas.entries()) recent.add(0, delta, { sequence: i + 1, published: i + 1 }, 100);
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
  recent.add(0, read(30, "$2"), { sequence: 4, published: 4 }, RECENT_BYTES_MAX);
  recent.add(0, receipt(ALICE, "$1", "m.read"), { sequence: 5, published: 5 }, 1);
  recent.add(0, read(30, "$2"), { sequence: 6, published: 6 }, 1);
  assert.is(recent.changes(ROOM, BOB, 5)?.fullyRead?.event_id, "$2", "evicted deltas don't count");
});

recentDeltas("the private receipt of another user is not a change", () => {
  const recent = cacheOf(receipt(ALICE, "$1"), own(BOB, "$2"));
  assert.is(recent.changes(ROOM, ALICE, 1), undefined);
  assert.equal(ids(recent, BOB, 1), ["$2"]);
});

recentDeltas("nothing of a log that was replaced is left, and other partitions keep what they have", () => {
  const recent = new RecentDeltas(2);
  for (const partition of [0, 1]) recent.begin(partition, { sequence: 0, published: 0 });
  recent.add(0, events(1_000, message(1_000)), { sequence: 1, published: 1_000 }, 100);
  recent.add(1, receipt(ALICE, "$1", "m.read", OTHER), { sequence: 1, published: 1_000 }, 100);
  recent.restart(0, { sequence: 1, published: 0 });
  assert.is(recent.changes(ROOM, ALICE, 0), undefined);
  assert.ok(recent.changes(OTHER, ALICE, 0));
  assert.not.ok(recent.covers(0, { sequence: 0, published: 0 }));
  assert.not.ok(recent.hasEvents(0, ROOM, 900), "the old log's position");
  recent.add(0, events(10, message(10)), { sequence: 2, published: 9 }, 100);
  assert.is(recent.changes(ROOM, ALICE, 1)!.events.length, 1);
});

recentDeltas("a new delta or a redaction invalidates what is shared", () => {
  const recent = cacheOf(events(10, message(10)));
  const before = recent.changes(ROOM, BOB, 0);
  const redaction = message(11, { type: "m.room.redaction", redacts: "$10", content: {} });
  recent.add(0, events(11, redaction), { sequence: 2, published: 2 }, 100);
  const after = recent.changes(ROOM, BOB, 0);
  assert.is.not(after, before);
  assert.equal(after!.events[0]!.content, {});
  assert.is(after!.events[0]!.unsigned.order, 10);
});

recentDeltas("it covers its own deltas, and marks of gateways that are slightly ahead", () => {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 10, published: 0 });
  recent.add(0, receipt(ALICE, "$1"), { sequence: 11, published: 0 }, 100);
  const covers = (sequence: number) => recent.covers(0, { sequence, published: 0 });
  assert.equal([9, 10, 11, 11 + GATEWAY_LAG_MAX, 12 + GATEWAY_LAG_MAX].map(covers), [false, true, true, true, false]);
});

recentDeltas("the oldest delta is evicted first, and is no longer covered", () => {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 0, published: 0 });
  const big = RECENT_BYTES_MAX / 2;
  recent.add(0, receipt(ALICE, "$0", "m.read", OTHER), { sequence: 1, published: 1 }, big);
  recent.add(0, receipt(ALICE, "$1"), { sequence: 2, published: 2 }, big);
  assert.ok(recent.covers(0, { sequence: 0, published: 0 }));
  recent.add(0, receipt(ALICE, "$2"), { sequence: 3, published: 3 }, 1);
  assert.not.ok(recent.covers(0, { sequence: 0, published: 0 }));
  assert.ok(recent.covers(0, { sequence: 1, published: 1 }));
  assert.is(recent.changes(OTHER, ALICE, 0), undefined);
  assert.equal(ids(recent, ALICE, 1), ["$1", "$2"]);
});

recentDeltas("it says how far a partition was published after each delta that it covers, and what was sent", () => {
  const recent = new RecentDeltas(2);
  recent.begin(1, { sequence: 10, published: 100 });
  const add = (sequence: number, delta: Delta, bytes = 100) =>
    recent.add(1, delta, { sequence, published: sequence * 10 }, bytes);
  add(11, events(1, message(1), message(2)));
  add(12, receipt(ALICE, "$1"));
  add(13, older("backfill", 3, message(-1)));
  add(14, events(4, message(3)));
  const published = () => [9, 10, 11, 12, 13, 14, 15].map((sequence) => recent.publishedAt(1, sequence));
  assert.equal(published(), [undefined, 100, 110, 120, 130, 140, undefined]);
  assert.equal([...recent.sentBefore(ROOM, 13)], ["$1", "$2"]);
  assert.equal([...recent.sentBefore(ROOM, 14)], ["$1", "$2", "$3"]);
  assert.is(recent.sentBefore(OTHER, 14).size, 0);
  add(15, receipt(ALICE, "$2"), RECENT_BYTES_MAX);
  assert.equal(published(), [undefined, undefined, undefined, undefined, undefined, 140, 150]);
  assert.equal(recent.covers(1, { sequence: 14, published: 0 }), true);
  assert.equal([...recent.sentBefore(ROOM, 14)], []);
  recent.begin(1, { sequence: 20, published: 200 });
  assert.equal([recent.publishedAt(1, 15), recent.publishedAt(1, 20)], [undefined, 200]);
});

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
  assert.is(sharedSection(changes, ROOM, viewer(BOB, "B", nothing)), undefined);
  assert.is(sharedSection(changes, ROOM, viewer(BOB, "B", nothing)), undefined);
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
