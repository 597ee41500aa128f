/** One room of a `/sync` response. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parseFilter } from "../../../src/gateway/filter.ts";
import {
  type RoomUpdate,
  roomSection,
  updateFromSnapshot,
  withoutEvents,
} from "../../../src/gateway/sync/room-section.ts";
import { eventsIn, shownState } from "../../../src/gateway/sync/shown-state.ts";
import type { OrderedEvent } from "../../../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../../src/matrix/ids.ts";
import type { Body } from "../../support/harness.ts";

const ROOM = "!r:a.org" as RoomId;
const ALICE = "@alice:a.org" as UserId;

const event = (order: number, more: Body = {}) =>
  ({
    event_id: `$${order}`,
    type: "m.room.message",
    sender: ALICE,
    content: { n: order },
    unsigned: { order },
    ...more,
  }) as unknown as OrderedEvent;
const topic = (order: number) => event(order, { type: "m.room.topic", state_key: "" });

const NOTHING: RoomUpdate = { events: [], receipts: [], limited: false, state: [], whole: false };

const viewerOf = (filter: Body = {}) => ({
  device: { user: ALICE, id: "A" },
  filter: parseFilter({ room: filter }),
});
const stateOf = (...events: OrderedEvent[]) => [shownState(events, ROOM, viewerOf())];

function shown(update: Partial<RoomUpdate>, filter: Body = {}): Body {
  const text = roomSection({ ...NOTHING, ...update }, ROOM, viewerOf(filter));
  return text === undefined ? (undefined as never) : JSON.parse(text);
}

const ids = (events: readonly Body[]) => events.map(({ event_id }) => event_id);

const stateIds = ({ state }: RoomUpdate) => state.flatMap(eventsIn).map(({ event_id: id }) => id);

const section = suite("room section");

section("a room without changes has no section, unless the whole room is sent", () => {
  assert.is(shown({}), undefined);
  assert.is(shown({ events: [event(1)] }, { timeline: { types: [] } }), undefined);
  assert.equal(shown({ whole: true }).timeline.events, []);
});

section("the newest events are sent, and the timeline is limited if events are left out", () => {
  const events = [event(1), event(2), event(3)];
  const { timeline } = shown({ events }, { timeline: { limit: 2 } });
  assert.equal([ids(timeline.events), timeline.limited, timeline.prev_batch], [["$2", "$3"], true, "o2"]);
  const all = shown({ events }, { timeline: { limit: 3 } }).timeline;
  assert.equal([ids(all.events), all.limited, all.prev_batch], [["$1", "$2", "$3"], false, "o1"]);
  const none = shown({ events }, { timeline: { limit: 0 }, ephemeral: {} });
  assert.is(none, undefined);
  const many = Array.from({ length: 101 }, (_, n) => event(n + 1));
  assert.is(shown({ events: many }, { timeline: { limit: 1_000 } }).timeline.events.length, 100, "at most");
});

section("state that is not in the timeline is sent separately, the last event of each key", () => {
  const events = [topic(1), topic(2), event(3), event(4)];
  const { state } = shown({ events }, { timeline: { limit: 2 } });
  assert.equal(ids(state.events), ["$2"]);
  assert.equal(ids(shown({ events }).state.events), []);
  assert.equal(ids(shown({ events, state: stateOf(event(0, { type: "m.room.name", state_key: "" })) }).state.events), [
    "$0",
  ]);
});

section("state that is in the timeline is not sent twice", () => {
  const state = stateOf(topic(1), event(2, { type: "m.room.name", state_key: "" }));
  const page = { room_id: "!r:a.org" as RoomId, position: 2, receipts: {}, timeline: [topic(1)] };
  const { timeline, state: apart } = shown(updateFromSnapshot([page], state, true));
  assert.equal([ids(timeline.events), ids(apart.events)], [["$1"], ["$2"]]);
});

section("what the client has isn't sent again, but all of the state is when it is wanted", () => {
  const page = { room_id: "!r:a.org" as RoomId, position: 2, receipts: {}, timeline: [topic(1), event(3)] };
  for (const [isWhole, state] of [
    [true, ["$1"]],
    [false, []],
  ] as const) {
    const rest = withoutEvents(updateFromSnapshot([page], stateOf(topic(1)), isWhole), new Set(["$1"]));
    assert.equal([ids(rest.events as Body[]), stateIds(rest)], [["$3"], state]);
  }
});

section("the fully-read marker and receipts can be filtered out", () => {
  const update = {
    fullyRead: { event_id: "$1" as EventId, order: 1, position: 1 },
    receipts: [{ $1: { "m.read": {} } }] as never,
  };
  assert.equal(shown(update).account_data.events, [{ type: "m.fully_read", content: { event_id: "$1" } }]);
  assert.is(shown(update).ephemeral.events.length, 1);
  assert.equal(shown(update, { account_data: { not_types: ["m.fully_read"] } }).account_data.events, []);
  assert.equal(shown(update, { account_data: { not_rooms: ["!r:a.org"] } }).account_data.events, []);
  assert.equal(shown(update, { ephemeral: { rooms: [] } }).ephemeral.events, []);
});

section.run();
