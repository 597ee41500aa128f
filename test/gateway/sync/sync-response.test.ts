/** The content of `/sync` responses where workers, deltas and tokens are ahead of each other, or fail. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { DeltaMark } from "../../../src/bus/deltas/delta-reader.ts";
import { type ErrorCode, TidemarkError } from "../../../src/errors.ts";
import type { Frontend } from "../../../src/frontend/frontend.ts";
import { parseFilter } from "../../../src/gateway/filter.ts";
import { MemberEvents } from "../../../src/gateway/sync/member-events.ts";
import { OnlineUser } from "../../../src/gateway/sync/online-users.ts";
import { RecentDeltas } from "../../../src/gateway/sync/recent-deltas.ts";
import { RoomSummaries } from "../../../src/gateway/sync/room-summaries.ts";
import { SyncResponses } from "../../../src/gateway/sync/sync-response.ts";
import { lineageTag, type Place, type SyncToken, type SyncTokens } from "../../../src/gateway/sync/sync-token.ts";
import { GATEWAY_LAG_MAX, OWED_ROOMS_MAX } from "../../../src/limits.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";
import { liveEvents, orderedEvent, receiptDelta } from "../../support/deltas.ts";
import type { Body } from "../../support/harness.ts";

const BOB = "@bob:a.org" as UserId;
const ROOM = "!r:a.org" as RoomId;

/** Orders are from another range than positions: nothing may compare the two. */
const positionAt = (order: number) => 1_000 + order;
const events = (...orders: number[]) =>
  liveEvents(
    ROOM,
    orders.map((order) => orderedEvent(order)),
    { position: positionAt(orders.at(-1)!) },
  );
const receipt = (id: string) => receiptDelta(ROOM, id, { user: BOB });

const LOG = "log-1";
const mark = (sequence: number, published = 5): DeltaMark => ({ sequence, published, lineage: LOG });
const place = (sequence: number, published = 5, more: Partial<Place> = {}): Place => ({
  sequence,
  published,
  memberships: [],
  lineage: lineageTag(LOG),
  ...more,
});
const token = (...places: (Place | undefined)[]): SyncToken => ({ places, owed: [] });

type Answer = Body | ErrorCode;
interface Situation {
  readonly membership?: string;
  /** Position of the membership. */
  readonly at?: number;
  readonly answers?: Record<string, (question: Body) => Answer>;
}

/** A gateway that has read its only partition through sequence 5, and a user with one room. */
function situation({ membership = "join", at = 3, answers = {} }: Situation = {}) {
  const recent = new RecentDeltas(1);
  recent.begin(0, mark(5));
  const counts = { unthreaded: { count: 0 }, main: { count: 0 }, threads: {} };
  const asked: Body[] = [];
  const given: Record<string, (question: Body) => Answer> = {
    state_json: () => ({ events: "" }),
    unread: () => counts,
    changed: () => ({ rooms: {}, position: 5 }),
    ...answers,
    snapshot: (question) => {
      const own = answers.snapshot?.(question) ?? {};
      return typeof own === "string" ? own : { position: 5, receipts: {}, timeline: [], membership, ...own };
    },
  };
  const query = async (_: string, question: Body) => {
    asked.push(question);
    const answer = given[question.op]!(question);
    if (typeof answer === "string") throw new TidemarkError(answer as ErrorCode, "no");
    return answer;
  };
  const user = new OnlineUser(BOB);
  user.known.add(0);
  const enter = (room: RoomId, as = membership) =>
    user.rooms.set(room, { room, partition: 0, membership: as, position: at });
  enter(ROOM);
  const tokens = { write: () => "s1" } as unknown as SyncTokens;
  const frontend = { partitions: 1, query } as unknown as Frontend;
  const responses = new SyncResponses({
    frontend,
    recent,
    tokens,
    members: new MemberEvents(),
    summaries: new RoomSummaries(),
  });
  const ask = async (since: SyncToken | "lost" | undefined, filter: Body = {}, fullState = false) => {
    const request = { device: { user: BOB, id: "B" }, filter: parseFilter(filter), since, sinceText: "s0", fullState };
    const answer = await responses.answer(user, request);
    return { ...answer, rooms: JSON.parse(answer.body()).rooms as Body };
  };
  return { recent, user, enter, ask, asked };
}

const ids = (section: Body): string[] => section.timeline.events.map(({ event_id }: Body) => event_id);

const response = suite("sync response");

response("changes that arrive while a room is read are sent with it, once", async () => {
  const { recent, ask } = situation({
    answers: {
      snapshot: () => {
        recent.add(0, events(15, 20), mark(6, positionAt(20)));
        recent.add(0, receipt("$15"), mark(7, positionAt(20)));
        return { timeline: [orderedEvent(10), orderedEvent(15)], timeline_position: positionAt(15) };
      },
    },
  });
  const { rooms, next } = await ask(undefined);
  assert.equal(ids(rooms.join[ROOM]), ["$10", "$15", "$20"]);
  assert.equal(Object.keys(rooms.join[ROOM].ephemeral.events[0].content), ["$15"]);
  assert.equal(next, token(place(7, positionAt(20))));
});

response("a snapshot that is ahead of the deltas waits for them, so that no event is sent twice", async () => {
  const { recent, ask } = situation({
    answers: { snapshot: () => ({ timeline: [orderedEvent(30)], timeline_position: positionAt(30) }) },
  });
  let isAnswered = false;
  const asked = ask(undefined).finally(() => {
    isAnswered = true;
  });
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.not.ok(isAnswered);
  recent.add(0, events(30), mark(6));
  const { rooms, next } = await asked;
  assert.is(next.places[0]!.sequence, 6);
  assert.is(rooms.join[ROOM].timeline.events.length, 1);
});

response("what a client has of a room that is read again isn't sent again", async () => {
  const { recent, ask, asked } = situation({
    answers: { snapshot: () => ({ timeline: [orderedEvent(6), orderedEvent(7)], timeline_position: positionAt(7) }) },
  });
  recent.add(0, events(6), mark(6));
  recent.add(0, events(7), mark(7));
  const { rooms } = await ask({ places: [place(6)], owed: [{ room: ROOM, since: 4 }] });
  assert.equal(ids(rooms.join[ROOM]), ["$7"]);
  assert.is(asked[0]!.since, 4);
});

response("a room that the user joined or left after the token is read as it is now, and once", async () => {
  for (const membership of ["join", "leave"]) {
    const answers = {
      snapshot: () => ({ timeline: [orderedEvent(6)], member: orderedEvent(6, { type: "m.room.member" }) }),
    };
    const { ask, asked } = situation({ membership, at: 8, answers });
    const first = await ask(token(place(5)));
    assert.equal(ids(first.rooms[membership][ROOM]), ["$6"]);
    assert.is(asked[0]!.viewer, BOB);
    assert.equal(first.next.places[0]!.memberships, [8], "known, although it isn't published yet");
    assert.ok((await ask(first.next)).isEmpty);
  }
});

response("a leave that is in no event is told by the member event", async () => {
  const member = orderedEvent(2, { type: "m.room.member", state_key: BOB, content: { membership: "ban" } });
  const { ask } = situation({ membership: "ban", at: 8, answers: { snapshot: () => ({ member }) } });
  const section = (await ask(token(place(5)))).rooms.leave[ROOM];
  assert.equal(ids(section), []);
  assert.equal(section.state.events[0].content, { membership: "ban" });
});

response("a room that was left before the first sync is sent only with include_leave", async () => {
  const { ask } = situation({ membership: "leave" });
  assert.ok((await ask(undefined)).isEmpty);
  assert.equal(Object.keys((await ask(undefined, { room: { include_leave: true } })).rooms.leave), [ROOM]);
});

response("an invite or a knock is sent once, with stripped state only", async () => {
  for (const membership of ["invite", "knock"]) {
    const name = orderedEvent(1, { type: "m.room.name", state_key: "", content: { name: "tides" } });
    const { ask, asked } = situation({
      membership,
      answers: { state_json: () => ({ events: JSON.stringify(name) }) },
    });
    const stripped = (await ask(undefined)).rooms[membership][ROOM][`${membership}_state`].events;
    assert.equal(Object.keys(stripped[0]).sort(), ["content", "sender", "state_key", "type"]);
    assert.equal(asked, [{ op: "state_json", viewer: BOB, stripped: true }]);
    assert.ok((await ask(token(place(5)))).isEmpty);
  }
});

response("membership that changes while rooms are read is what is sent", async () => {
  let reads = 0;
  const { ask, user, enter } = situation({
    answers: {
      snapshot: () => {
        if (reads++ > 0) return { membership: "leave", timeline: [orderedEvent(6)] };
        enter(ROOM, "leave");
        user.membershipsVersion++;
        return { timeline: [orderedEvent(6), orderedEvent(7)] };
      },
    },
  });
  const { rooms } = await ask(token(place(5, 2)));
  assert.equal([Object.keys(rooms.join), Object.keys(rooms.leave)], [[], [ROOM]]);
});

response("a token of another log, or one that can't be opened, gets everything, marked as limited", async () => {
  for (const since of [token(place(5, 5, { lineage: 9 })), "lost"] as const) {
    const { ask, enter } = situation({ answers: { snapshot: () => ({ timeline: [orderedEvent(6)] }) } });
    const { rooms, next } = await ask(since);
    assert.is(rooms.join[ROOM].timeline.limited, true);
    assert.equal(next, token(place(5)));
    enter(ROOM, "leave");
    const left = situation({ membership: "leave", answers: { snapshot: () => ({ member: orderedEvent(6) }) } });
    assert.is((await left.ask(since)).rooms.leave[ROOM].timeline.limited, true, "the client may not know it");
  }
});

response("a token ahead of the log gets everything, marked as limited", async () => {
  const { ask } = situation({ answers: { changed: () => ({ rooms: {}, position: 90 }) } });
  const { rooms } = await ask(token(place(9 + GATEWAY_LAG_MAX, 100)));
  assert.is(rooms.join[ROOM].timeline.limited, true);
});

response("a token ahead of this gateway waits for it", async () => {
  const { recent, ask, asked } = situation();
  const answer = ask(token(place(7)));
  recent.add(0, events(6), mark(6));
  recent.add(0, events(7), mark(7));
  assert.ok((await answer).isEmpty);
  assert.equal(asked, []);
});

response("an old token costs one question for each partition, and one for each room that changed", async () => {
  const snapshot = () => ({ timeline: [orderedEvent(6)] });
  const { ask, asked, enter } = situation({
    answers: { snapshot, changed: () => ({ rooms: { [ROOM]: {} }, position: 5 }) },
  });
  for (let room = 0; room < 50; room++) enter(`!${room}:a.org` as RoomId);
  const { rooms, next } = await ask(token(place(2, 4)));
  assert.equal(Object.keys(rooms.join), [ROOM]);
  assert.equal(
    asked.map(({ op, since }) => [op, since]),
    [
      ["changed", 4],
      ["snapshot", 4],
      ["unread", undefined],
    ],
  );
  assert.equal(next, token(place(5)));
});

response("a delta stream that was made again is no reason to trust its numbers", async () => {
  const { recent, ask, asked } = situation();
  recent.add(0, events(6), mark(6, 6));
  assert.ok((await ask(token(place(6, 4)))).isEmpty);
  assert.is(asked[0]!.op, "changed", "sequence 6 was another delta when 4 was published");
});

response("a room that can't be served is left out, and sent later", async () => {
  const OTHER = "!other:a.org" as RoomId;
  let failing = true;
  const { ask, enter } = situation({
    answers: { snapshot: () => (failing ? "M_TOO_LARGE" : { timeline: [orderedEvent(6)] }) },
  });
  const first = await ask(undefined);
  assert.equal(first.rooms.join, {});
  assert.equal(first.next.owed, [{ room: ROOM, since: undefined }]);
  failing = false;
  enter(OTHER);
  const second = await ask(first.next);
  assert.equal(Object.keys(second.rooms.join), [ROOM]);
  assert.equal(second.next.owed, []);
});

response("many rooms that can't be served keep their partition where it is", async () => {
  const { ask, enter } = situation({ answers: { snapshot: () => "LOG_BROKEN" } });
  for (let room = 0; room < OWED_ROOMS_MAX; room++) enter(`!${room}:a.org` as RoomId);
  assert.equal((await ask(undefined)).next, token(undefined));
});

response("a partition that nobody serves is sent later, without holding up what is cached", async () => {
  const { recent, ask, asked } = situation({ answers: { snapshot: () => "M_UNKNOWN", unread: () => "M_UNKNOWN" } });
  const first = await ask(undefined);
  assert.equal([first.isEmpty, first.next], [true, token(undefined)]);
  recent.add(0, events(6), mark(6));
  const { rooms, next } = await ask(token(place(5)));
  assert.equal(ids(rooms.join[ROOM]), ["$6"]);
  assert.is(rooms.join[ROOM].unread_notifications, undefined);
  assert.equal(next.owed, [{ room: ROOM, since: 5 }], "its counts");
  assert.is(asked.length, 1, "it isn't asked again at once");
});

response("lazy loading brings the member events of those who speak, asked for once", async () => {
  const member = orderedEvent(1, { type: "m.room.member", state_key: "@alice:a.org", content: { membership: "join" } });
  const answers = {
    state_json: () => ({ events: JSON.stringify(member) }),
    snapshot: () => ({ timeline: [orderedEvent(6)] }),
  };
  const { recent, ask, asked } = situation({ answers });
  const filter = { room: { state: { lazy_load_members: true } } };
  const state = ({ rooms }: { rooms: Body }) => rooms.join[ROOM].state.events.map(({ state_key }: Body) => state_key);
  assert.equal(state(await ask(undefined, filter)), ["@alice:a.org"]);
  assert.equal(asked[1], { op: "state_json", viewer: BOB, members: ["@alice:a.org", BOB] });
  recent.add(0, events(6), mark(6));
  asked.length = 0;
  for (let time = 0; time < 2; time++) assert.equal(state(await ask(token(place(5)), filter)), ["@alice:a.org"]);
  assert.equal(
    asked.filter(({ op }) => op === "state_json"),
    [{ op: "state_json", viewer: BOB, types: ["m.room.member"], members: ["@alice:a.org"] }],
  );
  assert.equal(state(await ask(token(place(5)))), [], "not for others");
});

response("rooms that nobody names leave the token where it is", async () => {
  const { ask, user } = situation();
  user.known.clear();
  const since = token(place(2, 3, { memberships: [4] }));
  const { isEmpty, next } = await ask(since);
  assert.equal([isEmpty, next], [true, since]);
});

response.run();
