/** Receipts whose sender doesn't know whether they have a thread (F6). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RECEIPT, UNKNOWN_THREAD } from "../../actors/entry.ts";
import { receiptEvent } from "../../actors/partition/changes.ts";
import { isRead } from "../../actors/room/fold.ts";
import { addsNothing } from "../../actors/room/fold-receipt.ts";
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import { event, FoldedRooms, foldSession, ofUnknownThread, receipt } from "../support/session-fold.ts";
import { delayed, expectedMarkers, type SessionLine, session } from "../support/synapse-session.ts";

const ROOM = "!room:here.example";
const READER = "@reader:here.example" as UserId;

/** `$1 $2` in main, `$3` in the thread of `$1`, `$4` in main. */
function threadedRoom(): FoldedRooms {
  const rooms = new FoldedRooms();
  rooms.live(ROOM, event("$1"));
  rooms.live(ROOM, event("$2"));
  rooms.live(ROOM, event("$3", { content: { "m.relates_to": { rel_type: "m.thread", event_id: "$1" } } }));
  rooms.live(ROOM, event("$4"));
  return rooms;
}

const read = (rooms: FoldedRooms, ...ids: string[]) => ids.map((id) => isRead(rooms.room(ROOM), READER, id as EventId));

const shown = (rooms: FoldedRooms) => receiptEvent(rooms.room(ROOM).markers).content as Record<string, unknown>;

const isKnownWithThread = (rooms: FoldedRooms, id: string) =>
  addsNothing(rooms.room(ROOM), [RECEIPT, READER, "m.read", id as EventId, UNKNOWN_THREAD, 1, null], {
    inferred: false,
  });

const unknownThread = suite("a receipt of unknown thread");

unknownThread("on a threaded event marks only that thread as read", () => {
  const rooms = threadedRoom();
  assert.is(rooms.fold(ROOM, ofUnknownThread("$3")).outcome, "advanced");
  assert.equal(read(rooms, "$1", "$2", "$3", "$4"), [false, false, true, false]);
  assert.equal(Object.keys(shown(rooms)), ["$3"]);
  assert.equal(shown(rooms).$3, { "m.read": { [READER]: { ts: 1, order: 3, thread_id: "$1" } } });
});

unknownThread("does not count for who asks what is known with its thread", () => {
  const rooms = threadedRoom();
  const isKnown = () => isKnownWithThread(rooms, "$3");
  rooms.fold(ROOM, ofUnknownThread("$3"));
  assert.not(isKnown());
  rooms.fold(ROOM, receipt("$2", { thread: "main" }));
  assert.not(isKnown(), "of another thread");
  rooms.fold(ROOM, receipt("$3", { thread: "$1" }));
  assert.ok(isKnown());
});

unknownThread("that is held does not count either", () => {
  const rooms = threadedRoom();
  const isKnown = () => isKnownWithThread(rooms, "$later");
  rooms.fold(ROOM, ofUnknownThread("$later"));
  assert.not(isKnown());
  rooms.fold(ROOM, receipt("$later", { thread: null }));
  assert.ok(isKnown());
});

unknownThread("on an event of the main timeline marks only the main timeline as read", () => {
  const rooms = threadedRoom();
  rooms.fold(ROOM, ofUnknownThread("$4"));
  assert.equal(read(rooms, "$1", "$2", "$3", "$4"), [true, true, false, true]);
});

for (const [what, thread] of [
  ["an unthreaded", null],
  ["a threaded", "main"],
] as const) {
  unknownThread(`changes nothing after ${what} one on the same event`, () => {
    const rooms = threadedRoom();
    rooms.fold(ROOM, receipt("$2", { thread, ts: 7 }));
    const before = structuredClone(shown(rooms));
    assert.is(rooms.fold(ROOM, ofUnknownThread("$2", { ts: 8 })).outcome, "stale");
    assert.equal(shown(rooms), before);
    assert.equal(rooms.markers(false), []);
  });

  unknownThread(`is replaced by ${what} one on the same event that arrives later`, () => {
    const rooms = threadedRoom();
    rooms.fold(ROOM, ofUnknownThread("$2", { ts: 8 }));
    assert.is(rooms.fold(ROOM, receipt("$2", { thread, ts: 7 })).outcome, "advanced");
    assert.equal(rooms.markers(false), []);
    assert.is(rooms.markers(true).length, 1);
  });
}

unknownThread("is not published if one of known thread is on the same event, in either order", () => {
  const rooms = threadedRoom();
  const first = rooms.fold(ROOM, ofUnknownThread("$2", { ts: 8 }));
  const second = rooms.fold(ROOM, receipt("$2", { ts: 7 }));
  assert.ok("marker" in first && "marker" in second);
  const unthreaded = { $2: { "m.read": { [READER]: { ts: 7, order: 2 } } } };
  assert.equal(receiptEvent([first.marker, second.marker]).content, unthreaded);
  assert.equal(receiptEvent([second.marker, first.marker]).content, unthreaded);

  const threaded = { ...second.marker, thread: "main" as const };
  const main = { $2: { "m.read": { [READER]: { ts: 7, order: 2, thread_id: "main" } } } };
  assert.equal(receiptEvent([first.marker, threaded]).content, main);
});

unknownThread("leaves one of known thread on an earlier event unchanged", () => {
  const rooms = threadedRoom();
  rooms.fold(ROOM, receipt("$1", { thread: "main" }));
  assert.is(rooms.fold(ROOM, ofUnknownThread("$4")).outcome, "advanced");
  assert.equal(rooms.markers(true), [`${ROOM} ${READER} m.read main → $1`]);
  assert.equal(rooms.markers(false), [`${ROOM} ${READER} m.read main → $4`]);
  assert.equal(read(rooms, "$2", "$4"), [true, true]);
  assert.is(rooms.fold(ROOM, receipt("$4")).outcome, "advanced");
  assert.equal(rooms.markers(false), []);
});

unknownThread("moves its marker only forward", () => {
  const rooms = threadedRoom();
  rooms.fold(ROOM, ofUnknownThread("$4"));
  assert.is(rooms.fold(ROOM, ofUnknownThread("$2")).outcome, "stale");
  assert.equal(rooms.markers(false), [`${ROOM} ${READER} m.read main → $4`]);
});

unknownThread("is held until its event arrives, and is then replaced by one of known thread", () => {
  const rooms = threadedRoom();
  assert.is(rooms.fold(ROOM, ofUnknownThread("$5")).outcome, "held");
  assert.is(rooms.fold(ROOM, receipt("$5")).outcome, "held");
  const outcome = rooms.live(ROOM, event("$5"));
  assert.ok(outcome.outcome === "ordered");
  assert.is(outcome.judged.length, 2);
  assert.equal(rooms.markers(true), [`${ROOM} ${READER} m.read - → $5`]);
  assert.equal(rooms.markers(false), []);
});

unknownThread("is replaced only by one of the same type", () => {
  const rooms = threadedRoom();
  rooms.fold(ROOM, ofUnknownThread("$2", { type: "m.read.private" }));
  rooms.fold(ROOM, receipt("$4"));
  assert.equal(rooms.markers(false), [`${ROOM} ${READER} m.read.private main → $2`]);
});

const sessions: Record<string, readonly SessionLine[]> = {
  "as recorded": session,
  "with every transaction 40 lines late": delayed(session, 40),
  "with every transaction 5000 lines late": delayed(session, 5_000),
  "with every transaction 200 lines early": delayed(session, -200),
  "with every transaction twice": session.flatMap((line): SessionLine[] =>
    "transaction" in line ? [line, line] : [line],
  ),
};
for (const [how, lines] of Object.entries(sessions)) {
  unknownThread(`changes none of Synapse's markers in the recorded session ${how}`, () => {
    const rooms = foldSession(lines);
    assert.equal(rooms.markers(true), expectedMarkers);
    assert.equal(rooms.markers(false), []);
  });
}

unknownThread("alone, in the recorded session, marks nothing as read that Synapse's markers leave unread", () => {
  const pushed = foldSession(session.filter((line) => "transaction" in line));
  const truth = foldSession(session);
  let both = 0;
  let missed = 0;
  for (const room of truth.rooms.values()) {
    const users = new Set([...room.markers].map(({ user }) => user));
    for (const user of users) {
      for (const [id] of room.events) {
        const known = isRead(room, user, id);
        const said = isRead(pushed.room(room.id), user, id);
        assert.not.ok(said && !known, `${user} has not read ${id}`);
        if (said) both++;
        else if (known) missed++;
      }
    }
  }
  assert.ok(missed * 10 < both + missed, `${missed} of ${both + missed} read events are not known to be read`);
});

unknownThread.run();
