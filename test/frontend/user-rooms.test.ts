/** A user's rooms, by answers and deltas in whatever sequence they come. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { partitionOf } from "../../src/bus/contract/subjects.ts";
import { TidemarkError } from "../../src/errors.ts";
import { type Said, UserRooms } from "../../src/frontend/user-rooms.ts";
import type { RoomId, UserId } from "../../src/matrix/ids.ts";
import type { Body } from "../support/harness.ts";

const BOB = "@bob:a.org" as UserId;
const ROOM = "!r:a.org" as RoomId;
const OTHER = "!s:a.org" as RoomId;
const PARTITIONS = 2;

/** Rooms whose questions the test answers, the oldest first. */
function asking() {
  const asked: { readonly question: Body; readonly answer: (answer: Body) => void; readonly fail: () => void }[] = [];
  const rooms = new UserRooms(BOB);
  const query = (_: UserId, question: Body) =>
    new Promise<Body>((resolve, reject) => {
      const fail = () => reject(new TidemarkError("BUS_UNAVAILABLE", "nobody answered"));
      asked.push({ question, answer: resolve, fail });
    });
  const set = (room: RoomId, said: Said) => rooms.set(room, said, PARTITIONS);
  const next = async () => {
    while (asked.length === 0) await new Promise(setImmediate);
    return asked.shift()!;
  };
  return { rooms, set, next, load: () => rooms.load({ partitions: PARTITIONS, query }, set) };
}

const at = (membership: string, position: number) => ({ membership, position });

const userRooms = suite("a user's rooms");

userRooms("have of each room what was said at the greatest position, by an answer or a delta", async () => {
  const { rooms, set, next, load } = asking();
  const loaded = load();
  const { answer } = await next();
  assert.ok(set(ROOM, at("leave", 20)), "a delta, while the answer is under way");
  answer({ rooms: { [ROOM]: at("join", 10), [OTHER]: at("invite", 5) } });
  assert.is(await loaded, true);
  assert.equal([rooms.rooms.get(ROOM)?.membership, rooms.rooms.get(OTHER)?.membership], ["leave", "invite"]);
  assert.not.ok(set(ROOM, at("join", 20)), "said before");
  assert.not.ok(set(ROOM, { ...at("leave", 30), mayRepeat: true }), "another display name");
  assert.ok(set(ROOM, at("leave", 30)), "a stay that was missed");
});

userRooms("are asked for again when deltas are lost meanwhile, from the first page", async () => {
  const { rooms, next, load } = asking();
  const loaded = load();
  const first = await next();
  first.answer({ rooms: { [ROOM]: at("join", 10) }, next: "0 !r" });
  const second = await next();
  assert.equal(second.question, { op: "rooms", from: "0 !r" });
  rooms.invalidate();
  second.answer({ rooms: {} });
  const again = await next();
  assert.equal(again.question, { op: "rooms" });
  assert.is(load(), rooms.loading, "others wait for the same answer");
  again.answer({ rooms: { [ROOM]: at("leave", 12) } });
  await loaded;
  assert.is(rooms.rooms.get(ROOM)?.membership, "leave");
  assert.not.ok(rooms.isIncomplete);
});

userRooms("are incomplete when deltas are lost again and again", async () => {
  const { rooms, next, load } = asking();
  const loaded = load();
  for (let i = 0; i < 5; i++) {
    const { answer } = await next();
    rooms.invalidate();
    answer({ rooms: {} });
  }
  await loaded;
  assert.ok(rooms.isIncomplete);
  assert.is(rooms.known.size, 0);
});

userRooms("of a log that was replaced are forgotten, with an answer that is under way", async () => {
  const { rooms, set, next, load } = asking();
  set(ROOM, at("join", 90));
  set(OTHER, at("join", 90));
  const partition = partitionOf(ROOM, PARTITIONS);
  assert.is.not(partitionOf(OTHER, PARTITIONS), partition);
  const loaded = load();
  const old = await next();
  assert.equal(
    rooms.forget(partition).map(({ room }) => room),
    [ROOM],
  );
  old.answer({ rooms: { [ROOM]: at("join", 95) } });
  const { answer } = await next();
  answer({ rooms: { [ROOM]: at("invite", 3), [OTHER]: at("join", 90) } });
  await loaded;
  assert.equal(rooms.rooms.get(ROOM), { ...at("invite", 3), room: ROOM, partition });
});

userRooms("stay as they are known where nobody answers", async () => {
  const { rooms, set, next, load } = asking();
  set(ROOM, at("join", 10));
  const loaded = load();
  (await next()).fail();
  assert.is(await loaded, false);
  assert.equal([rooms.rooms.size, rooms.known.size, rooms.isIncomplete], [1, 0, true]);
  const later = load();
  (await next()).answer({ rooms: {}, missing: [1] });
  assert.is(await later, true);
  assert.equal([rooms.knows(0), rooms.knows(1), rooms.isIncomplete], [true, false, true]);
});

userRooms.run();
