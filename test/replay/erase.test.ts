/** `tidemark erase`: a user is gone from every interface of a room (F14), and stays so. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connect } from "../../src/frontend/index.ts";
import type { RoomId, UserId } from "../../src/matrix/ids.ts";
import { eraseUser } from "../../src/replay/erase.ts";
import { verify } from "../../src/replay/verify.ts";
import { output, tidemarkCommand } from "../support/commands.ts";
import { eventually, message, receipt, startTidemark, type TidemarkHarness } from "../support/harness.ts";

const ROOM = "!a:a.org" as RoomId;
const OTHER_ROOM = "!b:a.org" as RoomId;
const BOB = "@bob:b.org" as UserId;
const CAROL = "@carol:a.org";
const SECRET = "what nobody shall read again";

const ERASED_AT = 2_000_000;
const EARLIER = { ts: ERASED_AT };
const LATER = { ts: ERASED_AT + 1 };

const erase = (tidemark: TidemarkHarness, more: { events?: boolean; room?: RoomId } = {}) =>
  eraseUser(tidemark.nc, { user: BOB, before: ERASED_AT, events: false, ...more });

const joined = (id: string) =>
  message(id, {
    type: "m.room.member",
    state_key: BOB,
    sender: BOB,
    content: { membership: "join", displayname: SECRET },
  });

/** Bob's messages and receipts in two rooms, and what Carol says. */
async function played(tidemark: TidemarkHarness): Promise<void> {
  for (const room of [ROOM, OTHER_ROOM]) {
    await tidemark.sent("event", room, [
      message("$1"),
      joined("$join"),
      message("$2", { sender: BOB, content: { msgtype: "m.text", body: SECRET } }),
      message("$3", { sender: CAROL }),
    ]);
    await tidemark.sent("state", room, joined("$state"));
    await tidemark.sent("receipt", room, receipt(BOB, "$1", EARLIER));
    await tidemark.sent("receipt", room, receipt(BOB, "$3", { ...EARLIER, receipt_type: "m.read.private" }));
    await tidemark.sent("receipt", room, receipt(BOB, "$late", EARLIER));
    await tidemark.sent("receipt", room, receipt(CAROL, "$1", EARLIER));
  }
}

const snapshot = (tidemark: TidemarkHarness, room: string) =>
  tidemark.query(room, { op: "snapshot", viewer: BOB, markers_limit: 100, timeline_limit: 100, members: true });

const readersIn = (receipts: Record<string, Record<string, Record<string, unknown>>>) =>
  Object.values(receipts).flatMap((types) => Object.values(types).flatMap((users) => Object.keys(users)));

const erasure = suite("erasing a user");

erasure("takes the user's receipts out of all rooms, held and private ones too, and leaves others'", async () => {
  await using tidemark = await startTidemark();
  await played(tidemark);
  const erased = await erase(tidemark);
  assert.equal(
    erased.map(({ room, receipts, events }) => [room, receipts, [...events]]).sort(),
    [ROOM, OTHER_ROOM].map((room) => [room, 3, ["$join", "$2", "$state"]]),
  );
  for (const room of [ROOM, OTHER_ROOM]) {
    await eventually(async () => !readersIn((await snapshot(tidemark, room)).receipts).includes(BOB), "Bob is gone");
    const { receipts, private: own, timeline } = await snapshot(tidemark, room);
    assert.equal(readersIn(receipts), [CAROL]);
    assert.equal(own ?? {}, {});
    assert.ok(JSON.stringify(timeline).includes(SECRET), "without --events, they are as they were");
  }
  await tidemark.sent("event", ROOM, message("$late", { sender: CAROL }));
  await tidemark.sent("receipt", ROOM, receipt(CAROL, "$late", LATER));
  await eventually(async () => readersIn((await snapshot(tidemark, ROOM)).receipts).includes(CAROL), "it is folded");
  assert.equal(readersIn((await snapshot(tidemark, ROOM)).receipts), [CAROL], "what was held is not released");
  await verify(tidemark.nc, {});
});

erasure("lets no older receipt of the user in again, and says so to those who ask what is new", async () => {
  await using tidemark = await startTidemark();
  await played(tidemark);
  await erase(tidemark);
  await eventually(async () => !readersIn((await snapshot(tidemark, ROOM)).receipts).includes(BOB), "Bob is gone");
  const rejected = tidemark.subscribe("tidemark.rejected.>");
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$3", { ...EARLIER, accepted: true }));
  const { reason, entry } = (await rejected.next()).body;
  assert.equal([reason, entry], ["erased", null]);
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$3", LATER));
  await eventually(async () => readersIn((await snapshot(tidemark, ROOM)).receipts).includes(BOB), "Bob reads again");
});

erasure("takes the content of the user's events with it, which keep their orders, after a restart too", async () => {
  await using tidemark = await startTidemark();
  await played(tidemark);
  const orders = async () => (await tidemark.query(ROOM, { op: "orders", event_ids: ["$1", "$2", "$3"] })).orders;
  const before = await orders();
  await erase(tidemark, { events: true });
  const shown = async () =>
    JSON.stringify([
      await snapshot(tidemark, ROOM),
      await tidemark.query(ROOM, { op: "event", event_id: "$2" }),
      await tidemark.query(ROOM, { op: "events", dir: "b", limit: 100 }),
      await tidemark.query(ROOM, { op: "state" }),
    ]);
  await eventually(async () => !(await shown()).includes(SECRET), "it is gone");
  await tidemark.restart();
  assert.not((await shown()).includes(SECRET));
  assert.equal(await orders(), before);
  await verify(tidemark.nc, {});
});

erasure("reaches the views of front-ends, and those that are filled later", async () => {
  await using tidemark = await startTidemark();
  await played(tidemark);
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM, { userId: BOB });
  assert.is(view.isRead("$1", CAROL), true);
  const changes: string[] = [];
  view.subscribe(({ kind }) => changes.push(kind));
  await erase(tidemark, { room: ROOM, events: true });
  await eventually(() => view.markers.of(BOB).length === 0, "the view forgets Bob");
  assert.equal(changes, ["snapshot"]);
  assert.equal(
    view.markers.of(CAROL).map(({ event }) => event),
    ["$1"],
  );
  await using other = await frontend.room(OTHER_ROOM, { userId: BOB });
  assert.ok(other.markers.of(BOB).length > 0, "in one room alone");
});

erasure("says what it did and what remains, and what there is nothing of", async () => {
  await using tidemark = await startTidemark();
  await played(tidemark);
  const nats = ["--nats", tidemark.url];
  const said = await output(["erase", BOB, ...nats]);
  assert.is(said[0], "2 rooms: markers and held receipts are gone, from 6 receipts");
  assert.match(said[1]!, /^6 events are as they were/);
  assert.match(said[2]!, /^What remains: /);
  assert.equal(await output(["erase", "@nobody:a.org", ...nats]), ["no log has anything of this user"]);
  const wrong = await tidemarkCommand(["erase", "bob", ...nats]);
  assert.is(wrong.status, 2);
});

erasure.run();
