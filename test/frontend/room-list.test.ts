/** A user's rooms as a front-end follows them, against a real Tidemark, and against what the gateway shows the user. */
import * as fc from "fast-check";
import { pack } from "msgpackr";
import { headers } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connect, type RoomList, type RoomListChange } from "../../src/frontend/index.ts";
import { ROOM_CHANGES_MAX } from "../../src/limits.ts";
import type { Tidemark } from "../../src/start.ts";
import { BOB, type Client, startGateway } from "../support/gateway.ts";
import { type Body, eventually, message, rejects, startTidemark, token } from "../support/harness.ts";
import { iterated } from "../support/iterated.ts";
import { checkAsync } from "../support/property.ts";

const ROOM = "!room:a.org";
const OTHER = "!other:a.org";

let events = 0;

const member = (user: string, membership: string) =>
  message(`$m${events++}`, { type: "m.room.member", state_key: user, sender: user, content: { membership } });

/** Collects the changes of a list from now on. */
function changesOf(list: RoomList): RoomListChange[] {
  const changes: RoomListChange[] = [];
  list.subscribe((change) => changes.push(change));
  return changes;
}

const membershipsOf = (list: RoomList) =>
  Object.fromEntries([...list.memberships].map(([id, at]) => [id, at.membership]));

const list = suite("room list");

list("a list begins with the user's rooms, and follows live events and state entries", async () => {
  await using tidemark = await startTidemark();
  const [joined] = await tidemark.sent("event", ROOM, member(BOB, "join"));
  await eventually(async () => (await tidemark.query(BOB, { op: "rooms" })).rooms[ROOM], "it is folded");
  await using frontend = await connect({ nats: tidemark.url });
  await using rooms = await frontend.rooms(BOB);
  assert.is(rooms.user, BOB);
  assert.ok(rooms.complete);
  assert.equal(membershipsOf(rooms), { [ROOM]: "join" });
  assert.is(rooms.memberships.get(ROOM)?.position, joined);

  const changes = changesOf(rooms);
  await tidemark.sent("event", OTHER, member("@alice:a.org", "join"));
  const [invited] = await tidemark.sent("event", OTHER, member(BOB, "invite"));
  const [left] = await tidemark.sent("state", ROOM, member(BOB, "leave"));
  await eventually(() => changes.length === 2, "both changes");
  assert.equal(
    [...changes].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    [
      { kind: "membership", room: OTHER, membership: "invite", position: invited },
      { kind: "membership", room: ROOM, membership: "leave", position: left, before: "join" },
    ],
  );
  assert.equal(membershipsOf(rooms), { [OTHER]: "invite", [ROOM]: "leave" });
});

list("iteration starts with the rooms, yields every change, and ends when the list is closed", async () => {
  await using tidemark = await startTidemark();
  const frontend = await connect({ nats: tidemark.url });
  const rooms = await frontend.rooms(BOB);
  const { seen, ended } = iterated(rooms, (change) => (change.kind === "membership" ? change.membership : change.kind));
  await eventually(() => seen.length === 1, "the snapshot");
  for (const membership of ["invite", "join", "ban"]) {
    await tidemark.sent("event", ROOM, member(BOB, membership));
    await eventually(() => seen.at(-1) === membership, membership);
  }
  await frontend.close();
  await ended;
  assert.equal(seen, ["snapshot", "invite", "join", "ban"]);
  for await (const { kind } of rooms) assert.unreachable(`a closed list has no ${kind}`);
});

list("a reader that falls far behind gets one snapshot in place of the changes", async () => {
  await using tidemark = await startTidemark();
  await using frontend = await connect({ nats: tidemark.url });
  await using rooms = await frontend.rooms(BOB);
  const iterator = rooms[Symbol.asyncIterator]();
  assert.equal((await iterator.next()).value, { kind: "snapshot" });
  const changes = changesOf(rooms);
  const memberships = Array.from({ length: ROOM_CHANGES_MAX + 2 }, (_, i) =>
    member(BOB, i % 2 === 0 ? "join" : "leave"),
  );
  const waiting = iterator.next();
  for (let from = 0; from < memberships.length; from += 200) {
    await tidemark.sent("event", ROOM, memberships.slice(from, from + 200));
  }
  await eventually(() => changes.length === memberships.length, "all changes");
  await waiting;
  const kinds: string[] = [];
  rooms.close();
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) kinds.push(next.value.kind);
  assert.is(kinds[0], "snapshot");
  assert.ok(kinds.length < 5, String(kinds.length));
  assert.is(membershipsOf(rooms)[ROOM], "leave");
});

list("what was lost is read again", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await using frontend = await connect({ nats: tidemark.url });
  await using rooms = await frontend.rooms(BOB);
  const changes = changesOf(rooms);
  const { config } = await tidemark.jsm.streams.info("TIDEMARK_DELTAS_0");
  await tidemark.jsm.streams.update("TIDEMARK_DELTAS_0", { ...config, subjects: ["nobody.publishes.this"] });
  const [position] = await tidemark.sent("event", ROOM, member(BOB, "join"));
  await tidemark.jsm.streams.purge("TIDEMARK_DELTAS_0", { seq: 1_000 });
  await tidemark.jsm.streams.update("TIDEMARK_DELTAS_0", config);
  await tidemark.sent("event", OTHER, message("$other"));
  await eventually(() => rooms.memberships.has(ROOM), "the room that was joined meanwhile");
  assert.equal(changes, [{ kind: "membership", room: ROOM, membership: "join", position }]);
});

list("deltas of another lineage empty the rooms of their partition, which are read again", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, member(BOB, "join"));
  await eventually(async () => (await tidemark.query(BOB, { op: "rooms" })).rooms[ROOM], "it is folded");
  await using frontend = await connect({ nats: tidemark.url });
  await using rooms = await frontend.rooms(BOB);
  // What a log that was replaced since had.
  const gone = Array.from({ length: 8 }, (_, i) => `!gone${i}:a.org`);
  for (const room of gone) rooms.set(room as never, { membership: "join", position: 1e12 });
  const kept = gone.filter((room) => tidemark.partitionOf(room) !== tidemark.partitionOf(ROOM));
  const changes = changesOf(rooms);
  const made = headers();
  made.set("Tidemark-Lineage", "another");
  const body = { v: 1, room_id: ROOM, position: 1, previous: 0, event: { type: "m.receipt", content: {} } };
  const subject = `tidemark.client.${tidemark.partitionOf(ROOM)}.${token(ROOM)}.receipts`;
  await tidemark.nc.jetstream().publish(subject, pack(body), { headers: made });
  await eventually(() => changes.length > 0, "the snapshot");
  assert.equal(changes, [{ kind: "snapshot" }]);
  assert.equal([...rooms.memberships.keys()].sort(), [ROOM, ...kept].sort());
});

list("a malformed user is refused, and so is a question that nobody answers", async () => {
  await using tidemark = await startTidemark();
  await using frontend = await connect({ nats: tidemark.url });
  await rejects(frontend.rooms("bob"), "M_INVALID_PARAM");
  await tidemark.stop();
  await rejects(frontend.rooms(BOB), "BUS_UNAVAILABLE");
});

list.run();

const MEMBERSHIPS = ["join", "join", "leave", "ban", "invite", "knock"];
const steps = fc.array(
  fc.record({
    room: fc.nat(3),
    membership: fc.constantFrom(...MEMBERSHIPS),
    kind: fc.constantFrom("event", "event", "state"),
    restart: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
  }),
  { minLength: 1, maxLength: 24, size: "max" },
);

/** What the client was shown last of each room. */
async function synced(client: Client, since: string | undefined, shown: Map<string, string>): Promise<string> {
  const { rooms, next_batch: next } = await client.sync(since === undefined ? {} : { since });
  for (const section of ["join", "leave", "invite", "knock"]) {
    for (const room of Object.keys((rooms as Body)[section] ?? {})) shown.set(room, section);
  }
  return next;
}

const agreement = suite("a user's rooms");

agreement("are the same for a front-end and for a client of the gateway, however they come and go", async () => {
  await using tidemark = await startGateway({ standalone: false });
  let second: Tidemark = await tidemark.another();
  let cases = 0;
  await checkAsync(
    fc.asyncProperty(steps, async (all) => {
      const prefix = `!l${cases++}`;
      await using frontend = await connect({ nats: tidemark.bus.url });
      await using rooms = await frontend.rooms(BOB);
      const followed = new Map<string, string>();
      rooms.subscribe((change) => {
        if (change.kind === "membership") followed.set(change.room, change.membership);
      });
      const shown = new Map<string, string>();
      let since = await synced(tidemark.bob, undefined, shown);
      const expected = new Map<string, string>();
      for (const { room, membership, kind, restart } of all) {
        const id = `${prefix}-${room}:a.org`;
        await tidemark.bus.sent(kind, id, member(BOB, membership));
        expected.set(id, membership);
        if (!restart) continue;
        await second.stop();
        second = await tidemark.another();
      }
      const isFollowed = () => [...expected].every(([id, membership]) => followed.get(id) === membership);
      await eventually(isFollowed, "the list follows");
      for (const [id, membership] of expected) assert.is(rooms.memberships.get(id)?.membership, membership);
      // A room that the user left before a client has heard of it is shown as left, too.
      const isShown = async () => {
        since = await synced(tidemark.bob, since, shown);
        return [...expected].every(([id, as]) => shown.get(id) === (as === "ban" ? "leave" : as));
      };
      await eventually(isShown, "the client is shown the same");
      const late = await frontend.rooms(BOB);
      assert.equal([...late.memberships].sort(), [...rooms.memberships].sort());
      late.close();
    }),
    { numRuns: 8 },
  );
});

agreement.run();
