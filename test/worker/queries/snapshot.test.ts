/** The timeline of a snapshot: events of positive order, and what of them came after a position. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Position } from "../../../actors/entry.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { Bodies } from "../../../src/worker/queries/bodies.ts";
import { sizeIn } from "../../../src/worker/queries/sizes.ts";
import { snapshot } from "../../../src/worker/queries/snapshot.ts";
import { backfilled, history, live, receipt } from "../../support/entries.ts";
import { BOB } from "../../support/example-room.ts";
import { at, given } from "../../support/given.ts";

/** What the log has at a position, as far as the room itself knows. */
const bodies = {
  at: async (room: Room, positions: readonly Position[]) =>
    positions.map((position) => Array.from(room.events, ([, event]) => event).find((e) => e.position === position)),
} as unknown as Bodies;

async function timelineOf(room: Room, question: { since?: Position; timeline_limit?: number } = {}) {
  const { timeline, timeline_position, limited } = await snapshot(
    { bodies, room, sizeOf: sizeIn("msgpack") },
    { op: "snapshot", ...question },
  );
  const events = timeline as unknown as readonly { id: string }[];
  return { ids: events.map(({ id }) => id), through: timeline_position, limited };
}

const room = () =>
  given(live("$1"), history("$0"), live("$2"), receipt(BOB, "$2"), backfilled("$old"), live("$3"), receipt(BOB, "$3"))
    .room;

const timelines = suite("the timeline of a snapshot");

timelines("has live events and history by order, and no backfill", async () => {
  assert.equal(await timelineOf(room()), { ids: ["$0", "$1", "$2", "$3"], through: at(6), limited: undefined });
  assert.equal(await timelineOf(room(), { timeline_limit: 2 }), { ids: ["$2", "$3"], through: at(6), limited: true });
  assert.equal(await timelineOf(given(receipt(BOB, "$1")).room), { ids: [], through: undefined, limited: undefined });
});

timelines("has since a position what came after the events that were known by then", async () => {
  assert.equal(await timelineOf(room(), { since: at(3) }), { ids: ["$3"], through: at(6), limited: undefined });
  assert.equal(await timelineOf(room(), { since: at(6) }), { ids: [], through: undefined, limited: undefined });
});

timelines("leaves out history that came later than the position: it is older than what the reader has", async () => {
  assert.equal(await timelineOf(room(), { since: at(1) }), { ids: ["$2", "$3"], through: at(6), limited: undefined });
  const { room: extended } = given(live("$1"), live("$2"), history("$0"));
  assert.equal(await timelineOf(extended, { since: at(2) }), { ids: [], through: undefined, limited: undefined });
});

timelines.run();
