/** A room view while it waits for its snapshot, without a broker. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Bus } from "../../src/bus/client/connection.ts";
import type { Delta } from "../../src/bus/contract/messages.ts";
import type { Answer } from "../../src/bus/contract/questions.ts";
import { Frontend } from "../../src/frontend/frontend.ts";
import { RoomView } from "../../src/frontend/room-view.ts";
import { ROOM_EVENTS_MAX } from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { liveEvents, orderedEvent } from "../support/deltas.ts";
import { eventually, rejects } from "../support/harness.ts";

const ROOM = "!r:a.org" as RoomId;
const BOB = "@bob:a.org";

const events = (previous: number, ...orders: number[]) =>
  liveEvents(
    ROOM,
    orders.map((order) => orderedEvent(order)),
    { previous, position: orders.at(-1) },
  );

const snapshotAt = (position: number): Answer<"snapshot"> => ({
  room_id: ROOM,
  position,
  receipts: {},
  timeline: [],
});

/** A view whose requests for a snapshot the test answers. */
function loading() {
  const asked: ((snapshot: Answer<"snapshot">) => void)[] = [];
  const view = new RoomView({
    room: ROOM,
    user: undefined,
    snapshot: () => new Promise((resolve) => asked.push(resolve)),
    events: async () => ({ events: [] }),
    closed: () => {},
  });
  return { view, asked };
}

const room = suite("room loading");

room("has the members that live events say, whatever history and backfill say", async () => {
  const { view, asked } = loading();
  const loaded = view.load();
  asked[0]!({ ...snapshotAt(10), members: { [BOB]: "leave" } });
  await loaded;
  const joins = (kind: string, previous: number, order: number) => {
    const [event] = (events(previous, order) as Delta<"events">).events;
    const join = { ...event, type: "m.room.member", state_key: BOB, content: { membership: "join" } };
    return { ...events(previous, order), kind, events: [join] } as unknown as Delta;
  };
  view.receive(joins("history", 10, 11));
  view.receive(joins("backfill", 11, 12));
  assert.is(view.members.get(BOB), "leave");
  assert.is(view.order("$11"), 11, "their orders are known");
  view.receive(joins("live", 12, 13));
  assert.is(view.members.get(BOB), "join");
});

room("deltas that arrive during loading are applied after the snapshot, except those that it includes", async () => {
  const { view, asked } = loading();
  const loaded = view.load();
  view.receive(events(0, 5));
  view.receive(events(5, 10));
  view.receive(events(10, 15));
  assert.is(view.size, 0);
  asked[0]!(snapshotAt(10));
  await loaded;
  assert.equal([view.order("$5"), view.order("$10"), view.order("$15")], [undefined, undefined, 15]);
  assert.is(asked.length, 1, "nothing is missing");
  assert.is(view.unread(BOB).total, 1);
});

room("a gap before the deltas that arrive during loading leads to another snapshot", async () => {
  const { view, asked } = loading();
  const loaded = view.load();
  view.receive(events(12, 15));
  asked[0]!(snapshotAt(10));
  await loaded;
  assert.is(asked.length, 2);
  assert.is(view.order("$15"), undefined);
});

room("a reload during loading requests a second snapshot", async () => {
  const { view, asked } = loading();
  const loaded = view.load();
  await view.reload();
  asked[0]!(snapshotAt(10));
  await eventually(() => asked.length === 2, "the second request");
  asked[1]!(snapshotAt(20));
  await loaded;
  view.receive(events(20, 25));
  assert.is(view.order("$25"), 25);
  assert.is(asked.length, 2);
});

room("a view holds a limited number of events, and evicts the oldest", async () => {
  const { view, asked } = loading();
  const loaded = view.load();
  asked[0]!(snapshotAt(0));
  await loaded;
  view.receive(events(0, ...Array.from({ length: ROOM_EVENTS_MAX + 5 }, (_, n) => n + 1)));
  assert.is(view.size, ROOM_EVENTS_MAX);
  assert.equal([view.order("$5"), view.order("$6")], [undefined, 6]);
});

room("a partition whose deltas could not be read is retried by the next request", async () => {
  let tries = 0;
  const nc = { jetstreamManager: () => Promise.reject(new Error(`try ${++tries}`)) };
  const frontend = new Frontend(nc as unknown as Bus, 1);
  await rejects(frontend.room(ROOM), "BUS_UNAVAILABLE");
  await rejects(frontend.room(ROOM), "BUS_UNAVAILABLE");
  assert.is(tries, 2);
});

room.run();
