/** The cache of users: their rooms, which users a delta wakes, unread counts, and eviction. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Delta } from "../../../src/bus/contract/messages.ts";
import type { Answer } from "../../../src/bus/contract/questions.ts";
import { TidemarkError } from "../../../src/errors.ts";
import type { Frontend } from "../../../src/frontend/frontend.ts";
import { OnlineUsers, USER_IDLE_MS } from "../../../src/gateway/sync/online-users.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";
import type { Body } from "../../support/harness.ts";

const ALICE = "@alice:a.org" as UserId;
const BOB = "@bob:a.org" as UserId;
const ROOM = "!r:a.org" as RoomId;
const OTHER = "!other:a.org" as RoomId;

/** The users of a gateway whose workers answer with `rooms`. */
function usersIn(rooms: Body) {
  const asked: string[] = [];
  const frontend = {
    partitions: 1,
    query: async (user: string) => {
      asked.push(user);
      return { rooms: { ...rooms } };
    },
  };
  return { users: new OnlineUsers(frontend as unknown as Frontend), asked, rooms };
}

/** The users of a gateway with two partitions, whose workers give these answers in turn, and then none. */
function partitionedUsers() {
  const answers: Body[] = [];
  const asked: Body[] = [];
  const frontend = {
    partitions: 2,
    query: async (_: string, question: Body) => {
      asked.push(question);
      const answer = answers.shift();
      if (answer === undefined) throw new TidemarkError("BUS_UNAVAILABLE", "nobody answered");
      return answer;
    },
  };
  return { users: new OnlineUsers(frontend as unknown as Frontend), answers, asked };
}

const JOINED = { [ROOM]: { membership: "join", position: 10 } };
/** `order`: not comparable with positions. */
const member = (user: UserId, membership: string, position: number, order = 1) =>
  ({
    type: "events",
    kind: "live",
    room_id: ROOM,
    position,
    events: [{ type: "m.room.member", state_key: user, sender: user, content: { membership }, unsigned: { order } }],
  }) as unknown as Delta;
const stated = (...members: [user: UserId, membership: string, position: number][]) =>
  ({
    type: "events",
    kind: "state",
    room_id: ROOM,
    position: members.at(-1)![2],
    events: [],
    members: Object.fromEntries(members.map(([user, membership, position]) => [user, { membership, position }])),
  }) as unknown as Delta;
const receipt = (user: UserId, type = "receipts") =>
  ({
    type,
    room_id: ROOM,
    ...(type === "private" && { user_id: user }),
    event: { type: "m.receipt", content: { $1: { "m.read": { [user]: { ts: 1, order: 1 } } } } },
  }) as unknown as Delta;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const counts = (count: number): Answer<"unread"> => ({ unthreaded: { count }, main: { count }, threads: {} });

const users = suite("online users");

users("a membership changes only by newer live events", async () => {
  const { users: online } = usersIn(JOINED);
  const bob = await online.get(BOB);
  assert.ok(bob.isJoined(ROOM));
  online.receive(member(BOB, "leave", 9, 90));
  assert.ok(bob.isJoined(ROOM), "older than what is known");
  for (const kind of ["history", "backfill"]) online.receive({ ...member(BOB, "leave", 11), kind } as Delta);
  assert.ok(bob.isJoined(ROOM), "older");
  online.receive(member(BOB, "leave", 11, 2));
  assert.not.ok(bob.isJoined(ROOM));
  assert.is(bob.rooms.get(ROOM)!.position, 11);
  online.close();
});

users(
  "memberships of `state` entries change at their own positions, and wake only the users whom they name",
  async () => {
    const { users: online } = usersIn(JOINED);
    const [alice, bob] = [await online.get(ALICE), await online.get(BOB)];
    const versions = [alice.version, bob.version];
    online.receive(stated([BOB, "leave", 9], [ALICE, "join", 10]));
    await turn();
    assert.ok(bob.isJoined(ROOM), "older than what is known");
    assert.equal([alice.version, bob.version], versions, "nothing is new");
    online.receive(stated([BOB, "leave", 12], ["@new:a.org" as UserId, "join", 13]));
    await turn();
    assert.not.ok(bob.isJoined(ROOM));
    assert.is(bob.rooms.get(ROOM)!.position, 12);
    assert.equal([alice.version, bob.version], [versions[0], versions[1]! + 1]);
    online.receive(stated([ALICE, "join", 20]));
    assert.is(alice.rooms.get(ROOM)!.position, 20, "a stay that was missed");
    online.close();
  },
);

users("a membership of history or backfill does not change the current one", async () => {
  const { users: online } = usersIn({});
  const bob = await online.get(BOB);
  for (const kind of ["history", "backfill"]) online.receive({ ...member(BOB, "join", 11), kind } as Delta);
  assert.not.ok(bob.isJoined(ROOM));
  online.close();
});

users("of a message's events, the last is the member event to which its position belongs", async () => {
  const { users: online } = usersIn(JOINED);
  const bob = await online.get(BOB);
  const left = member(BOB, "leave", 12);
  online.receive({ ...left, events: [message(1), ...(left as Body).events] } as Delta);
  assert.is(bob.rooms.get(ROOM)!.position, 12);
  online.close();
});

users("after a log was replaced, a membership of any position counts, and all users are woken", async () => {
  const { users: online, asked } = usersIn(JOINED);
  const bob = await online.get(BOB);
  const before = bob.version;
  online.restart(0);
  assert.not.ok(bob.isJoined(ROOM));
  assert.not.ok(bob.knows(0));
  assert.ok(bob.version > before);
  online.receive(member(BOB, "join", 3));
  assert.ok(bob.isJoined(ROOM));
  await online.get(BOB);
  assert.is(asked.length, 2, "the rooms are asked for again");
  online.close();
});

users("a new display name is no new membership, and a stay that was missed is", async () => {
  const rooms: Body = { ...JOINED };
  const { users: online } = usersIn(rooms);
  const bob = await online.get(BOB);
  online.receive(member(BOB, "join", 11));
  assert.is(bob.rooms.get(ROOM)!.position, 10);
  rooms[ROOM] = { membership: "join", position: 20 };
  online.invalidateAll();
  await online.get(BOB);
  assert.is(bob.rooms.get(ROOM)!.position, 20);
  online.close();
});

users("rooms of partitions that nobody serves are asked for again, and what is known of them stays", async () => {
  const { users: online, answers, asked } = partitionedUsers();
  answers.push({ rooms: JOINED, missing: [1] }, { rooms: {}, missing: [0, 1] }, { rooms: {} });
  const bob = await online.get(BOB);
  assert.equal([bob.knows(0), bob.knows(1)], [true, false]);
  online.invalidateAll();
  assert.is(await online.get(BOB), bob);
  assert.ok(bob.isJoined(ROOM));
  assert.equal([bob.knows(0), bob.knows(1)], [true, false]);
  bob.loadedAt -= 10_000;
  assert.is(online.cached(BOB), bob, "nobody waits");
  await bob.loading;
  assert.equal([bob.knows(0), bob.knows(1)], [true, true]);
  assert.is(asked.length, 3);
  online.close();
});

users("rooms are read in pages; without any answer nothing is known", async () => {
  const { users: online, answers, asked } = partitionedUsers();
  answers.push({ rooms: JOINED, next: "0:x" }, { rooms: { [OTHER]: { membership: "invite", position: 3 } } });
  const bob = await online.get(BOB);
  assert.equal([...bob.rooms.keys()], [ROOM, OTHER]);
  assert.equal(asked, [{ op: "rooms" }, { op: "rooms", from: "0:x" }]);
  const alice = await online.get(ALICE); // no answer is left
  assert.is(alice.known.size, 0);
  online.close();
});

users("an idle user is evicted, but not while a request waits", async () => {
  const { users: online } = usersIn(JOINED);
  const bob = await online.get(BOB);
  const waiter = { wake: () => {} };
  bob.waiting.add(waiter);
  bob.usedAt -= USER_IDLE_MS;
  online.evictIdle();
  assert.is(await online.get(BOB), bob);
  bob.waiting.delete(waiter);
  online.evictIdle();
  assert.is(await online.get(BOB), bob, "used just now");
  bob.usedAt -= USER_IDLE_MS;
  online.evictIdle();
  const { version } = bob;
  online.receive(receipt(ALICE));
  await turn();
  assert.is(bob.version, version);
  assert.is.not(await online.get(BOB), bob);
  online.close();
});

users("a change wakes only the users whom it concerns, once per turn", async () => {
  const { users: online } = usersIn(JOINED);
  const [alice, bob] = [await online.get(ALICE), await online.get(BOB)];
  const version = () => [alice.version, bob.version];
  const [a, b] = version() as [number, number];
  online.receive(receipt(BOB));
  online.receive(receipt(ALICE));
  await turn();
  assert.equal(version(), [a + 1, b + 1]);
  online.receive(receipt(BOB, "private"));
  await turn();
  assert.equal(version(), [a + 1, b + 2]);
  online.receive({ ...receipt(BOB), room_id: OTHER } as Delta);
  await turn();
  assert.equal(version(), [a + 1, b + 2]);
  online.receive(member(ALICE, "leave", 11));
  await turn();
  online.receive(receipt(BOB));
  await turn();
  assert.equal(version(), [a + 2, b + 4], "a user who left is woken for the leave, and for nothing after it");
  online.close();
});

users("cached counts are invalidated by the user's own receipts and by new events", async () => {
  const { users: online } = usersIn(JOINED);
  const [alice, bob] = [await online.get(ALICE), await online.get(BOB)];
  const cached = () => [alice, bob].map((user) => user.cachedUnread(ROOM)?.main.count);
  const ask = async (count: number) => {
    for (const user of [alice, bob]) await user.unread(ROOM, async () => counts(count));
  };
  await ask(3);
  assert.equal(cached(), [3, 3]);
  online.receive(receipt(BOB));
  assert.equal(cached(), [3, undefined], "somebody else's receipt changes nothing");
  await ask(4);
  assert.equal(cached(), [3, 4]);
  online.receive(receipt(BOB, "private"));
  assert.equal(cached(), [3, undefined]);
  await ask(5);
  online.receive({ ...member(ALICE, "join", 12), events: [{ ...message(12) }] } as unknown as Delta);
  assert.equal(cached(), [undefined, undefined]);
  online.close();
});

const message = (order: number) => ({ type: "m.room.message", sender: ALICE, content: {}, unsigned: { order } });

users("counts that were invalidated during their query are not cached", async () => {
  const { users: online } = usersIn(JOINED);
  const bob = await online.get(BOB);
  const asked = await bob.unread(ROOM, async () => {
    online.receive(receipt(BOB));
    return counts(1);
  });
  assert.is(asked.main.count, 1);
  assert.is(bob.cachedUnread(ROOM), undefined);
  online.close();
});

users("the rooms of a user who seems not to be joined are queried again, at a limited rate", async () => {
  const { users: online, asked, rooms } = usersIn({});
  const bob = await online.get(BOB);
  assert.is(await online.isJoined(BOB, ROOM), false);
  assert.is(asked.length, 1, "queried just now");
  Object.assign(rooms, JOINED);
  bob.loadedAt -= 2_000;
  const { version } = bob;
  assert.is(await online.isJoined(BOB, ROOM), true);
  assert.is(asked.length, 2);
  assert.ok(bob.version > version, "waiting requests are woken");
  assert.is(await online.isJoined(BOB, ROOM), true);
  assert.is(asked.length, 2);
  online.close();
});

users("concurrent callers share one query, and the rooms are queried again after a while", async () => {
  const { users: online, asked } = usersIn(JOINED);
  const [one, other] = await Promise.all([online.get(BOB), online.get(BOB)]);
  assert.is(one, other);
  assert.is(asked.length, 1);
  assert.is(online.cached(BOB), one);
  assert.is(online.cached(ALICE), undefined);
  one.loadedAt -= 61_000;
  assert.is(online.cached(BOB), undefined);
  assert.is(await online.get(BOB), one);
  assert.is(asked.length, 2);
  online.invalidateAll();
  assert.is(online.cached(BOB), undefined, "deltas were lost");
  online.close();
});

users.run();
