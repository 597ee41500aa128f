/** A user's rooms, page by page, and those that changed (docs/design.md#queries). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Position } from "../../../actors/entry.ts";
import type { Member } from "../../../actors/room/room.ts";
import { encodeAs } from "../../../src/bus/contract/codec.ts";
import type { Membership } from "../../../src/bus/contract/questions.ts";
import { BROKER_PAYLOAD_BYTES_MIN } from "../../../src/limits.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";
import { beginningOf, changedPage, joinedPages, roomsPage } from "../../../src/worker/queries/users-rooms.ts";
import { BOB } from "../../support/example-room.ts";
import { eventually, message, receipt, startTidemark } from "../../support/harness.ts";

const joined = (position: Position): Member => ({ membership: "join", position, joined: 5, left: 0 });

/** A partition in which the user has these rooms. */
function partitionOf(rooms: Record<string, Member>, changed: readonly string[] = []) {
  const looked: string[] = [];
  return {
    position: 99,
    roomsOf: (_user: UserId) => new Map(Object.entries(rooms) as [RoomId, Member][]),
    hasChanged: (room: RoomId) => {
      looked.push(room);
      return changed.includes(room);
    },
    looked,
  };
}

const manyRooms = (of: number, count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`!${of}-${"\u0001".repeat(150)}${i}:a.org`, joined(i)]));

const rooms = suite("the rooms of a user");

rooms("of all partitions are there once, in pages that any broker carries", () => {
  const partitions = [0, 300, 5, 2_000].map((count, of) => partitionOf(manyRooms(of, count)));
  const found: Record<string, Membership> = {};
  let pages = 0;
  for (let from: string | undefined, more = true; more; pages++) {
    const beginning = beginningOf(from);
    const answers = partitions
      .map((served, partition) => () => roomsPage(served, { user: BOB, partition, from }))
      .slice(beginning.partition)
      .map((page) => page());
    const page = joinedPages(answers, beginning);
    for (const encoding of ["json", "msgpack"] as const) {
      assert.ok(encodeAs(page, encoding).length < BROKER_PAYLOAD_BYTES_MIN);
    }
    for (const [room, membership] of Object.entries(page.rooms)) {
      assert.not(room in found, "twice");
      found[room] = membership;
    }
    from = page.next;
    more = from !== undefined;
  }
  assert.is(Object.keys(found).length, 2_305);
  assert.ok(pages > 2);
});

rooms("are answered without those of partitions that don't answer, which are named", () => {
  const served = roomsPage(partitionOf({ "!a:a": joined(7) }), { user: BOB, partition: 0, from: undefined });
  const page = joinedPages([served, undefined, undefined], beginningOf(undefined));
  assert.equal(page, { rooms: { "!a:a": { membership: "join", position: 7, stay: [5, 0] } }, missing: [1, 2] });
});

const changes = suite("the changed rooms of a user");

changes("are joined rooms with changes, and all whose membership changed", async () => {
  const left = (position: Position): Member => ({ membership: "leave", position, joined: 5, left: 8 });
  const members = {
    "!same:a": joined(1),
    "!moved:a": joined(2),
    "!new:a": joined(11),
    "!left:a": left(12),
    "!past:a": left(3),
  };
  const served = partitionOf(members, ["!moved:a", "!past:a"]);
  const page = await changedPage(served, { user: BOB, partition: 2, since: 10 });
  assert.equal(page.position, 99);
  assert.equal(Object.keys(page.rooms).sort(), ["!left:a", "!moved:a", "!new:a"]);
  assert.equal(served.looked.sort(), ["!moved:a", "!same:a"], "a room that was left isn't looked at");
});

changes(
  "are those with events, public receipts, and the user's own private receipts, also once they are stored",
  async () => {
    await using bus = await startTidemark();
    const user = "@bob:a.org";
    const ids = ["!quiet:a.org", "!said:a.org", "!read:a.org", "!private:a.org", "!others:a.org"];
    const member = (id: string) =>
      message(id, { type: "m.room.member", state_key: user, content: { membership: "join" } });
    for (const id of ids) await bus.sent("event", id, [member("$join"), message("$1")]);
    const partitions = [...new Set(ids.map((id) => bus.partitionOf(id)))];
    const ask = async (since: ReadonlyMap<number, number>) => {
      const changed: string[] = [];
      for (const partition of partitions) {
        const answer = await bus.query(user, { op: "changed", partition, since: since.get(partition) ?? 0 });
        changed.push(...Object.keys(answer.rooms as object));
      }
      return changed.sort();
    };
    const now = async () => {
      const positions = new Map<number, number>();
      for (const partition of partitions) {
        const { position } = await bus.query(user, { op: "changed", partition, since: 0 });
        positions.set(partition, position as number);
      }
      return positions;
    };
    await eventually(async () => (await ask(new Map())).length === ids.length, "everything is folded");
    const since = await now();
    assert.equal(await ask(since), []);
    await bus.sent("event", "!said:a.org", message("$2"));
    await bus.sent("receipt", "!read:a.org", receipt("@other:a.org", "$1"));
    await bus.sent("receipt", "!private:a.org", receipt(user, "$1", { receipt_type: "m.read.private" }));
    await bus.sent("receipt", "!others:a.org", receipt("@other:a.org", "$1", { receipt_type: "m.read.private" }));
    await eventually(async () => (await ask(since)).length === 3, "the changes are folded");
    assert.equal(await ask(since), ["!private:a.org", "!read:a.org", "!said:a.org"]);
  },
);

rooms.run();
changes.run();
