/** The cache of member events of those who speak: what deltas make it forget. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Delta } from "../../../src/bus/contract/messages.ts";
import { MemberEvents } from "../../../src/gateway/sync/member-events.ts";
import type { MatrixEvent } from "../../../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../../src/matrix/ids.ts";

const ROOM = "!r:a.org" as RoomId;
const ALICE = "@alice:a.org" as UserId;
const BOB = "@bob:a.org" as UserId;

const eventOf = (user: UserId): MatrixEvent => ({
  event_id: `$${user}` as EventId,
  type: "m.room.member",
  sender: user,
  origin_server_ts: 1,
  content: { membership: "join" },
  state_key: user,
});

function known(...users: UserId[]): MemberEvents {
  const members = new MemberEvents();
  members.add(ROOM, users, users.map(eventOf));
  return members;
}

const memberEvents = suite("member events");

memberEvents(
  "are kept until a live event or a state entry sets another, also one that leaves the membership as it was",
  () => {
    const live = { type: "events", kind: "live", room_id: ROOM, events: [eventOf(ALICE)] } as unknown as Delta;
    const stated = {
      type: "events",
      kind: "state",
      room_id: ROOM,
      events: [],
      members: { [ALICE]: { membership: "join", position: 1 } },
    } as unknown as Delta;
    for (const delta of [live, stated]) {
      const members = known(ALICE, BOB);
      members.receive({ ...delta, room_id: "!other:a.org" } as Delta);
      assert.equal(members.missing(ROOM, [ALICE, BOB]), []);
      members.receive(delta);
      assert.equal(members.missing(ROOM, [ALICE, BOB]), [ALICE]);
      assert.equal(members.of(ROOM, [ALICE, BOB]), [eventOf(BOB)]);
    }
  },
);

memberEvents("are left alone by history", () => {
  const members = known(ALICE);
  members.receive({ type: "events", kind: "history", room_id: ROOM, events: [eventOf(ALICE)] } as unknown as Delta);
  assert.equal(members.missing(ROOM, [ALICE]), []);
});

memberEvents.run();
