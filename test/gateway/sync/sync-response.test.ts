/** The content of `/sync` responses where workers, deltas and tokens are ahead of each other. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Delta } from "../../../src/bus/contract/messages.ts";
import type { Frontend } from "../../../src/frontend/frontend.ts";
import { parseFilter } from "../../../src/gateway/filter.ts";
import { OnlineUser } from "../../../src/gateway/sync/online-users.ts";
import { RecentDeltas } from "../../../src/gateway/sync/recent-deltas.ts";
import { SyncResponses } from "../../../src/gateway/sync/sync-response.ts";
import { decodeSyncToken, type SyncToken } from "../../../src/gateway/sync/sync-token.ts";
import { GATEWAY_LAG_MAX } from "../../../src/limits.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";
import type { Body } from "../../support/harness.ts";

const BOB = "@bob:a.org" as UserId;
const ROOM = "!r:a.org" as RoomId;

const event = (order: number, more: Body = {}) => ({
  event_id: `$${order}`,
  type: "m.room.message",
  sender: "@alice:a.org",
  content: {},
  unsigned: { order },
  ...more,
});
/** Orders are from another range than positions: nothing may compare the two. */
const positionAt = (order: number) => 1_000 + order;
const delta = (...list: Body[]) => {
  const position = positionAt(list.at(-1).unsigned.order);
  return { type: "events", kind: "live", room_id: ROOM, position, events: list } as unknown as Delta;
};
const events = (...orders: number[]) => delta(...orders.map((order) => event(order)));
const receipt = (id: string) =>
  ({
    type: "receipts",
    room_id: ROOM,
    position: 1,
    event: { type: "m.receipt", content: { [id]: { "m.read": { [BOB]: { ts: 1, order: 1 } } } } },
  }) as unknown as Delta;

/** A gateway that has read its only partition through sequence 5, and a user with this membership. */
function situation(membership: string, snapshot: () => Body = () => ({}), state: readonly Body[] = []) {
  const recent = new RecentDeltas(1);
  recent.begin(0, { sequence: 5, published: 5 });
  const counts = { unthreaded: { count: 0 }, main: { count: 0 }, threads: {} };
  const answers: Record<string, () => Body> = {
    snapshot: () => ({ position: 5, receipts: {}, timeline: [], ...snapshot() }),
    state: () => ({ events: state }),
    unread: () => counts,
  };
  const frontend = { partitions: 1, query: async (_: RoomId, { op }: { op: string }) => answers[op]!() };
  const user = new OnlineUser(BOB, 1);
  user.rooms.set(ROOM, { room: ROOM, partition: 0, membership, position: 3, sequence: undefined });
  const responses = new SyncResponses(frontend as unknown as Frontend, recent);
  const ask = async (since: SyncToken | undefined, filter: Body = {}): Promise<Body | undefined> => {
    const request = { device: { user: BOB, id: "B" }, filter: parseFilter(filter), since, fullState: false };
    const body = await responses.changes(user, request);
    return body === undefined ? undefined : JSON.parse(body);
  };
  const empty = (since: SyncToken) =>
    JSON.parse(responses.empty(user, { device: { user: BOB, id: "B" }, filter: {}, since, fullState: false }));
  return { recent, ask, empty };
}

const sequenceOf = (body: Body) => decodeSyncToken(body.next_batch, 1, "since").marks[0]!.sequence;

const response = suite("sync response");

response("changes that arrive while a room is queried are sent with it, once", async () => {
  const { recent, ask } = situation("join", () => {
    recent.add(0, events(15, 20), { sequence: 6, published: positionAt(20) });
    recent.add(0, receipt("$15"), { sequence: 7, published: positionAt(20) });
    return { timeline: [event(10), event(15)], timeline_position: positionAt(15) };
  });
  const body = (await ask(undefined))!;
  const { timeline, ephemeral } = body.rooms.join[ROOM];
  assert.equal(
    timeline.events.map(({ event_id }: Body) => event_id),
    ["$10", "$15", "$20"],
  );
  assert.equal(Object.keys(ephemeral.events[0].content), ["$15"]);
  assert.is(sequenceOf(body), 7);
});

response("a snapshot that is ahead of the deltas waits for them, so that no event is sent twice", async () => {
  const { recent, ask } = situation("join", () => ({
    timeline: [event(30)],
    timeline_position: positionAt(30),
  }));
  let isAnswered = false;
  const asked = ask(undefined).finally(() => {
    isAnswered = true;
  });
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.not.ok(isAnswered);
  recent.add(0, events(30), { sequence: 6, published: 5 });
  const body = (await asked)!;
  assert.is(sequenceOf(body), 6);
  assert.is(body.rooms.join[ROOM].timeline.events.length, 1);
});

response("a gateway that lags behind another never returns an older token", () => {
  const { empty } = situation("join");
  const mark = (sequence: number) => ({ marks: [{ sequence, published: sequence }], memberships: [9] });
  assert.is(sequenceOf(empty(mark(8))), 8);
  assert.is(decodeSyncToken(empty(mark(8)).next_batch, 1, "since").memberships[0], 9);
  assert.is(sequenceOf(empty(mark(4))), 5);
  assert.is(sequenceOf(empty(mark(6 + GATEWAY_LAG_MAX))), 5, "not a mark of this stream");
});

response("a room that was left before the first sync is sent only with include_leave", async () => {
  const { ask } = situation("leave");
  assert.is(await ask(undefined), undefined);
  assert.equal(Object.keys((await ask(undefined, { room: { include_leave: true } }))!.rooms.leave), [ROOM]);
});

response("a room that was left is sent with its events until the leave, and none after it", async () => {
  const since = { marks: [{ sequence: 5, published: 5 }], memberships: [2] };
  const left = { type: "m.room.member", state_key: BOB, content: { membership: "leave" } };
  const { recent, ask } = situation("leave");
  recent.add(0, delta(event(7), event(8, left)), { sequence: 6, published: 5 });
  recent.add(0, events(9), { sequence: 7, published: 5 });
  const shown = (body: Body) => body.rooms.leave[ROOM].timeline.events.map(({ event_id }: Body) => event_id);
  assert.equal(shown(await ask(since)), ["$7", "$8"]);
  const unseen = situation("leave");
  unseen.recent.add(0, events(9), { sequence: 6, published: 5 });
  assert.equal(shown(await unseen.ask(since)), [], "the leave came before, or without an event");
});

response("an invite is sent once, with stripped state only", async () => {
  const state = [
    { type: "m.room.name", state_key: "", sender: BOB, content: { name: "tides" }, event_id: "$n", unsigned: {} },
    { type: "m.room.member", state_key: BOB, sender: BOB, content: { membership: "invite" }, event_id: "$b" },
    { type: "m.room.member", state_key: "@alice:a.org", sender: BOB, content: { membership: "join" }, event_id: "$a" },
    { type: "m.room.power_levels", state_key: "", sender: BOB, content: {}, event_id: "$p" },
  ];
  const { ask } = situation("invite", () => ({}), state);
  const stripped = (await ask(undefined))!.rooms.invite[ROOM].invite_state.events;
  assert.equal(
    stripped.map(({ type, state_key: key }: Body) => [type, key]),
    [
      ["m.room.name", ""],
      ["m.room.member", BOB],
    ],
  );
  assert.equal(Object.keys(stripped[0]).sort(), ["content", "sender", "state_key", "type"]);
  assert.is(await ask({ marks: [{ sequence: 5, published: 5 }], memberships: [3] }), undefined);
});

response.run();
