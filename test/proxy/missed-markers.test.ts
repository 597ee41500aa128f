/** Which markers, pushed or shown, make a proxy read their users' markers. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { PushedReceipt } from "../../src/homeserver/transaction.ts";
import { PROXY_MISSED_MARKERS_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { FULLY_READ, READ, READ_PRIVATE } from "../../src/matrix/receipt-types.ts";
import { MissedMarkers } from "../../src/proxy/missed-markers.ts";
import { eventually } from "../support/harness.ts";

const ROOM = "!r:a" as RoomId;
const OTHER_ROOM = "!other:a" as RoomId;
const BOB = "@bob:a" as UserId;
const CAROL = "@carol:a" as UserId;
const STRANGER = "@stranger:a" as UserId;
const NEVER_MS = 3_600_000;

const pushed = (user: UserId, event: string, more: Partial<PushedReceipt> = {}): PushedReceipt => ({
  user_id: user,
  receipt_type: "m.read",
  event_id: event as EventId,
  thread_known: false,
  ...more,
});

function watched({ known = [], afterMs = 1 }: { readonly known?: readonly string[]; readonly afterMs?: number } = {}) {
  const asked: [room: RoomId, events: EventId[]][] = [];
  const found: UserId[] = [];
  const missed = new MissedMarkers({
    isFollowed: (user) => user !== STRANGER,
    onMissed: (user) => found.push(user),
    afterMs,
  });
  missed.connect(async (room, markers) => {
    asked.push([room, markers.map(({ event_id: event }) => event)]);
    return markers.filter(({ event_id: event }) => !known.includes(event));
  });
  return { missed, asked, found, [Symbol.dispose]: () => missed.close() };
}

const missing = suite("markers that came past the proxy");

missing("are looked at a moment later, those that Tidemark has with their thread by then left out", async () => {
  using watching = watched({ known: ["$1", "$2"] });
  const { missed, asked, found } = watching;
  missed.pushed(new Map([[ROOM, [pushed(BOB, "$1")]]]));
  missed.pushed(
    new Map([
      [ROOM, [pushed(CAROL, "$2"), pushed(CAROL, "$3"), pushed(BOB, "$5")]],
      [OTHER_ROOM, [pushed(BOB, "$4")]],
    ]),
  );
  assert.equal(asked, []);
  await eventually(() => found.length === 2, "they are found");
  assert.equal(asked, [
    [ROOM, ["$1", "$2", "$3", "$5"]],
    [OTHER_ROOM, ["$4"]],
  ]);
  assert.equal(found.sort(), [BOB, CAROL]);
});

missing(
  "of users who don't come through the proxy are left alone, and receipts that were pushed with a thread",
  async () => {
    using watching = watched();
    const { missed, asked, found } = watching;
    const { thread_known: _, ...threaded } = pushed(CAROL, "$2", { thread_id: "main" });
    missed.pushed(new Map([[ROOM, [pushed(STRANGER, "$1"), threaded, pushed(BOB, "$3")]]]));
    await eventually(() => found.length === 1, "the last is found");
    assert.equal(asked, [[ROOM, ["$3"]]]);
  },
);

missing("are looked at again in the next moment", async () => {
  using watching = watched();
  const { missed, found } = watching;
  for (const count of [1, 2]) {
    missed.pushed(new Map([[ROOM, [pushed(BOB, `$${count}`)]]]));
    await eventually(() => found.length === count, "it is found");
  }
});

missing("are fully-read markers as well: of a user's in a room, the last that was shown", async () => {
  using watching = watched();
  const { missed, asked, found } = watching;
  missed.shown(STRANGER, [{ room: ROOM, eventId: "$0", type: FULLY_READ }]);
  missed.shown(BOB, [
    { room: ROOM, eventId: "$1", type: FULLY_READ },
    { room: "no room", eventId: "$2", type: FULLY_READ },
    { room: ROOM, eventId: "no event", type: FULLY_READ },
  ]);
  missed.shown(BOB, [{ room: ROOM, eventId: "$3", type: FULLY_READ }]);
  await eventually(() => found.length === 1, "it is found");
  assert.equal(asked, [[ROOM, ["$3"]]]);
});

missing("are receipts that the user is shown, each with its thread", async () => {
  using watching = watched();
  const { missed, asked, found } = watching;
  missed.shown(BOB, [
    { room: ROOM, eventId: "$1", type: READ },
    { room: ROOM, eventId: "$1", type: READ, thread: "main" },
    { room: ROOM, eventId: "$1", type: READ, thread: "main" },
    { room: ROOM, eventId: "$2", type: READ_PRIVATE, thread: "no thread" },
  ]);
  await eventually(() => found.length === 1, "it is found");
  assert.equal(asked, [[ROOM, ["$1", "$1"]]]);
});

missing("wait within a bound: beyond, their users' markers are read at once", () => {
  using watching = watched({ afterMs: NEVER_MS });
  const { missed, found } = watching;
  missed.pushed(new Map([[ROOM, Array.from({ length: PROXY_MISSED_MARKERS_MAX }, (_, i) => pushed(BOB, `$${i}`))]]));
  assert.equal(found, []);
  missed.pushed(new Map([[ROOM, [pushed(CAROL, "$more")]]]));
  assert.equal(found, [CAROL]);
});

missing.run();
