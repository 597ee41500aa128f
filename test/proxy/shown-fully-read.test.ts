/** The fully-read markers in a homeserver's answers. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { inSlices } from "../../src/in-slices.ts";
import { shownFullyRead } from "../../src/proxy/shown-fully-read.ts";

const ROOM = "!r:a";
const found = (answer: unknown) =>
  inSlices(shownFullyRead(Buffer.from(typeof answer === "string" ? answer : JSON.stringify(answer))));
const marker = (event: unknown, more = {}) => ({ type: "m.fully_read", content: { event_id: event }, ...more });
const synced = (...events: unknown[]) => ({
  rooms: { join: { [ROOM]: { timeline: { events: [] }, account_data: { events } } } },
});

const shown = suite("fully-read markers in an answer");

shown("are found in /sync and in sliding sync", async () => {
  const wanted = [{ room: ROOM, eventId: "$1" }];
  assert.equal(await found(synced({ type: "m.tag", content: { tags: {} } }, marker("$1"))), wanted);
  assert.equal(await found(synced({ content: { event_id: "$1" }, type: "m.fully_read" })), wanted);
  assert.equal(await found({ extensions: { account_data: { rooms: { [ROOM]: [marker("$1")] } } } }), wanted);
});

shown("are those of all rooms", async () => {
  const rooms = Array.from({ length: 2_000 }, (_, i) => `!${i}:a`);
  const join = Object.fromEntries(rooms.map((room) => [room, { account_data: { events: [marker(`$of${room}`)] } }]));
  assert.equal(
    await found({ rooms: { join } }),
    rooms.map((room) => ({ room, eventId: `$of${room}` })),
  );
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
