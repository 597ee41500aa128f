/** Answers about rooms of any size: in pages that any broker carries, and with a cost that doesn't grow with the room. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fold } from "../../../actors/room/fold.ts";
import type { Marker } from "../../../actors/room/marker.ts";
import { Room } from "../../../actors/room/room.ts";
import { type Encoding, encodeAs } from "../../../src/bus/contract/codec.ts";
import type { Answer } from "../../../src/bus/contract/questions.ts";
import { type SnapshotQuestion, snapshotPages } from "../../../src/frontend/snapshot-pages.ts";
import { BROKER_PAYLOAD_BYTES_MIN } from "../../../src/limits.ts";
import { receiptItems } from "../../../src/matrix/receipt.ts";
import { PartitionStore } from "../../../src/store/partition-store.ts";
import { roomFacts, roomRow } from "../../../src/store/rows.ts";
import { answer, UnreadCache } from "../../../src/worker/queries/answers.ts";
import { Bodies } from "../../../src/worker/queries/bodies.ts";
import { sizeIn } from "../../../src/worker/queries/sizes.ts";
import { inThread, live, member, receipt, state } from "../../support/entries.ts";
import { BASE, BOB, ROOM } from "../../support/example-room.ts";
import { at, Story } from "../../support/given.ts";
import { roomOver } from "../../support/stored-room.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const ENCODINGS: readonly Encoding[] = ["msgpack", "json"];
const noBodies = { at: async () => [], state: async () => [] } as unknown as Bodies;
const asking = (room: Room, encoding: Encoding) => ({
  room,
  bodies: noBodies,
  counts: new UnreadCache(),
  sizeOf: sizeIn(encoding),
});

function fits(page: object, encoding: Encoding): void {
  assert.ok(encodeAs({ ok: true, ...page }, encoding).length < BROKER_PAYLOAD_BYTES_MIN, "the broker carries it");
}

/** All pages of a snapshot, each of which any broker carries. */
async function pagesOf(room: Room, encoding: Encoding, question: SnapshotQuestion = {}): Promise<Answer<"snapshot">[]> {
  const pages: Answer<"snapshot">[] = [];
  const ask = async (page: SnapshotQuestion) =>
    answer("snapshot", asking(room, encoding), { op: "snapshot", ...page } as never);
  for await (const page of snapshotPages(ask, question)) {
    fits(page, encoding);
    pages.push(page);
  }
  return pages;
}

const CONTROL = "\u0001";

const pages = suite("pages");

for (const encoding of ENCODINGS) {
  pages(`of a user's 33,500 threads have every count once, as ${encoding}`, async () => {
    const story = new Story();
    for (let i = 0; i < 33_500; i++)
      story.fold(live(`$answer${i}`, inThread(`$thread-with-a-long-name-of-a-root-event-${i}`)));
    const found = new Set<string>();
    let count = 0;
    for (let after: string | undefined, more = true; more; count++) {
      const question = { op: "unread" as const, user_id: BOB, ...(after !== undefined && { after }) };
      const page = await answer("unread", asking(story.room, encoding), question);
      fits(page, encoding);
      for (const thread of Object.keys(page.threads)) {
        assert.not(found.has(thread));
        found.add(thread);
      }
      after = page.next;
      more = after !== undefined;
    }
    assert.is(found.size, 33_500);
    assert.ok(count > 1);
  });

  pages(`of 22,000 members have each of them once, as ${encoding}`, async () => {
    const story = new Story();
    const name = (i: number) => `@${"long-name-".repeat(4)}${CONTROL}${i}:one.example`;
    for (let i = 0; i < 22_000; i++)
      story.fold(i % 2 === 0 ? live(`$${i}`, member(name(i), "join")) : state(`$${i}`, member(name(i), "join")));
    for (let i = 0; i < 100; i++) story.fold(live(`$left${i}`, member(name(i), "leave")));
    const found = await pagesOf(story.room, encoding);
    const names = found.flatMap(({ members = {} }) => Object.keys(members));
    assert.is(names.length, 22_000);
    assert.equal(Object.assign({}, ...found.map(({ members }) => members)), story.room.memberships());
  });

  pages(`of receipts have every one, those that one event released included, as ${encoding}`, async () => {
    const story = new Story();
    const user = (i: number) => `@${CONTROL.repeat(100)}${i}:one.example` as typeof BOB;
    for (let i = 0; i < 6_000; i++) story.fold(receipt(user(i), "$late"));
    story.fold(live("$early"));
    for (let i = 6_000; i < 9_000; i++) story.fold(receipt(user(i), "$early", i % 2 === 0 ? { thread: "main" } : {}));
    for (let i = 0; i < 3_000; i++) {
      story.fold(live(`$t${i}`, inThread(`$root${i}`)));
      story.fold(receipt(BOB, `$t${i}`, { type: "m.read.private", thread: `$root${i}` }));
    }
    story.fold(live("$late"));
    const found = await pagesOf(story.room, encoding, { user_id: BOB });
    const users = found.flatMap(({ receipts }) => [...receiptItems(receipts)].map((item) => item.user));
    assert.is(users.length, 9_000);
    assert.is(new Set(users).size, 9_000);
    const own = found.flatMap(({ private: content = {} }) => [...receiptItems(content)].map((item) => item.event));
    assert.is(new Set(own).size, 3_000);
    assert.is(own.length, 3_000);
  });
}

const NEW_FACTS = roomFacts(roomRow(1, new Room(ROOM, BASE), { held: 0, unsettled: 0 }));

pages("of receipts since a position read as many rows as they have, however many the room has", async () => {
  const rowsRead = async (markers: number) => {
    let rows = 0;
    const room = roomOver({
      facts: { ...NEW_FACTS, publicMarkersGot: markers },
      markers: {
        of: () => [],
        all: () => {
          throw new Error("no page reads all markers");
        },
        from: function* (position) {
          for (let at = Math.max(position, 1); at <= markers; at++) {
            rows++;
            yield markerAt(at);
          }
        },
      },
    });
    const first = await answer("snapshot", asking(room, "msgpack"), {
      op: "snapshot",
      since: markers - 10,
      members: false,
    });
    assert.is([...receiptItems(first.receipts)].length, 10);
    const small = await answer("snapshot", asking(room, "msgpack"), {
      op: "snapshot",
      markers_limit: 50,
      members: false,
    });
    assert.is([...receiptItems(small.receipts)].length, 50);
    return rows;
  };
  assert.is(await rowsRead(1_000), await rowsRead(10_000));
});

pages("of current state are read from the store alone, in pages of a bounded size", async () => {
  using dir = temporaryDirectory();
  const store = await PartitionStore.open(dir.path, pino({ level: "silent" }));
  store.begin({ base: BASE, lineage: "a", parent: null });
  const written = store.load(ROOM);
  for (let i = 0; i < 2_500; i++) fold(written, at(i + 1), state(`$${i}`, member(`@u${i}:one.example`, "join")));
  fold(written, at(2_501), live("$left", member("@u7:one.example", "leave")));
  store.commit(store.collect([written], { sequence: 2_501, room: ROOM, at: 1, entries: 1 }));
  const room = store.load(ROOM);
  fold(room, at(2_502), live("$joined", member("@u8:one.example", "leave")));
  const withoutLog = { ...asking(room, "msgpack"), bodies: new Bodies(undefined as never, 0) };
  const found: string[] = [];
  let pages = 0;
  for (let since: number | undefined = 0; since !== undefined; pages++) {
    const page: Answer<"state"> = await answer("state", withoutLog, { op: "state", since });
    fits(page, "msgpack");
    found.push(...page.events.map(({ event_id: id }) => id));
    since = page.next;
  }
  const expected = Array.from({ length: 2_500 }, (_, i) => `$${i}`).filter((id) => id !== "$7" && id !== "$8");
  assert.equal(found, [...expected, "$left", "$joined"]);
  assert.is(pages, 3);
  await store.close();
});

const markerAt = (position: number): Marker => ({
  user: `@u${position}:a.org` as typeof BOB,
  type: "m.read",
  thread: null,
  event: "$1" as Marker["event"],
  order: 1,
  ts: 0,
  position,
});

pages.run();
