/** The markers of its own user in a homeserver's answers. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { inSlices } from "../../src/in-slices.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { shownMarkers } from "../../src/proxy/shown-markers.ts";

const ROOM = "!r:a";
const BOB = "@bob:a" as UserId;
const found = (answer: unknown, user?: UserId) =>
  inSlices(shownMarkers(Buffer.from(typeof answer === "string" ? answer : JSON.stringify(answer)), user));
const marker = (event: unknown, more = {}) => ({ type: "m.fully_read", content: { event_id: event }, ...more });
const synced = (...events: unknown[]) => ({
  rooms: { join: { [ROOM]: { timeline: { events: [] }, account_data: { events } } } },
});

const receipts = (content: unknown) => ({ type: "m.receipt", content });
const ephemeral = (...events: unknown[]) => ({ rooms: { join: { [ROOM]: { ephemeral: { events } } } } });

const shown = suite("markers in an answer");

shown("are m.fully_read in /sync and in sliding sync", async () => {
  const wanted = [{ room: ROOM, eventId: "$1", type: "m.fully_read" }];
  assert.equal(await found(synced({ type: "m.tag", content: { tags: {} } }, marker("$1"))), wanted);
  assert.equal(await found(synced({ content: { event_id: "$1" }, type: "m.fully_read" })), wanted);
  assert.equal(await found({ extensions: { account_data: { rooms: { [ROOM]: [marker("$1")] } } } }), wanted);
});

shown("are those of all rooms", async () => {
  const rooms = Array.from({ length: 2_000 }, (_, i) => `!${i}:a`);
  const join = Object.fromEntries(rooms.map((room) => [room, { account_data: { events: [marker(`$of${room}`)] } }]));
  assert.equal(
    await found({ rooms: { join } }),
    rooms.map((room) => ({ room, eventId: `$of${room}`, type: "m.fully_read" })),
  );
});

shown("are the user's own receipts in /sync and in sliding sync, with their threads", async () => {
  const content = {
    $1: { "m.read": { [BOB]: { ts: 1, thread_id: "main", other: { thread_id: "$x" } }, "@carol:a": { ts: 2 } } },
    $2: { "m.read.private": { [BOB]: { ts: 3 } }, "m.read": { "@carol:a": { ts: 4, thread_id: "$1" } } },
  };
  const wanted = [
    { room: ROOM, eventId: "$1", type: "m.read", thread: "main" },
    { room: ROOM, eventId: "$2", type: "m.read.private" },
  ];
  assert.equal(
    await found(ephemeral({ type: "m.typing", content: { user_ids: [BOB] } }, receipts(content)), BOB),
    wanted,
  );
  assert.equal(await found(ephemeral({ content, type: "m.receipt" }), BOB), wanted);
  assert.equal(await found({ extensions: { receipts: { rooms: { [ROOM]: receipts(content) } } } }, BOB), wanted);
  assert.equal(await found(ephemeral(receipts(content)), "@dan:a" as UserId), []);
  assert.equal(await found(ephemeral(receipts(content))), [], "of nobody in particular");
});

shown("are no receipts that make no sense, or stand elsewhere", async () => {
  const content = { $1: { "m.read": { [BOB]: { ts: 1 } } } };
  for (const answer of [
    ephemeral(receipts({ $1: { "m.other": { [BOB]: { ts: 1 } } } })),
    ephemeral(receipts({ "no event": { "m.read": { [BOB]: { ts: 1 } } } })),
    ephemeral(receipts({ $1: { "m.read": { [BOB]: [{ ts: 1 }] } } })),
    ephemeral(receipts({ $1: { "m.read": [{ [BOB]: { ts: 1 } }] } })),
    { rooms: { join: { [ROOM]: { timeline: { events: [receipts(content)] } } } } },
    { rooms: { leave: { [ROOM]: { ephemeral: { events: [receipts(content)] } } } } },
  ]) {
    assert.equal(await found(answer, BOB), [], JSON.stringify(answer));
  }
});

shown("are not what others write elsewhere, nor what makes no sense", async () => {
  for (const answer of [
    "",
    '"m.fully_read"',
    '{"rooms":{"join":{"!r:a":{"account_data":{"events":[{"type":"m.fully_read","content":{"event_id":"$1"}}]}}}}',
    [synced(marker("$1"))],
    synced(marker(7), marker({ event_id: "$1" }), { type: "m.fully_read", content: [["event_id", "$1"]] }),
    synced([marker("$1")], { type: "m.other", content: { event_id: "$1", type: "m.fully_read" } }),
    synced({ type: "m.fully_read", content: { inside: { event_id: "$1" } } }),
    { rooms: { join: { [ROOM]: { timeline: { events: [marker("$1")] } } } } },
    { rooms: { leave: { [ROOM]: { account_data: { events: [marker("$1")] } } } } },
    { rooms: { join: { "no room": { account_data: { events: [marker("$1")] } } } } },
    { account_data: { events: [marker("$1")] } },
  ]) {
    assert.equal(await found(answer), [], JSON.stringify(answer));
  }
});

shown.run();
