/** Which pushed receipts make a proxy read their users' markers. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { PushedReceipt } from "../../src/homeserver/transaction.ts";
import { PROXY_PUSHED_RECEIPTS_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { UnknownThreads } from "../../src/proxy/unknown-threads.ts";
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
  const threads = new UnknownThreads({
    isFollowed: (user) => user !== STRANGER,
    withoutThread: async (room, receipts) => {
      asked.push([room, receipts.map(({ event_id: event }) => event)]);
      return receipts.filter(({ event_id: event }) => !known.includes(event));
    },
    onFound: (user) => found.push(user),
    afterMs,
  });
  return { threads, asked, found, [Symbol.dispose]: () => threads.close() };
}

const receipts = suite("pushed receipts of unknown thread");

receipts("are looked at a moment later, those that Tidemark has with their thread by then left out", async () => {
  using watching = watched({ known: ["$1", "$2"] });
  const { threads, asked, found } = watching;
  threads.pushed(new Map([[ROOM, [pushed(BOB, "$1")]]]));
  threads.pushed(
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

receipts(
  "of users who don't come through the proxy are left alone, and those that were pushed with a thread",
  async () => {
    using watching = watched();
    const { threads, asked, found } = watching;
    const { thread_known: _, ...threaded } = pushed(CAROL, "$2", { thread_id: "main" });
    threads.pushed(new Map([[ROOM, [pushed(STRANGER, "$1"), threaded, pushed(BOB, "$3")]]]));
    await eventually(() => found.length === 1, "the last is found");
    assert.equal(asked, [[ROOM, ["$3"]]]);
  },
);

receipts("are looked at again in the next moment", async () => {
  using watching = watched();
  const { threads, found } = watching;
  for (const count of [1, 2]) {
    threads.pushed(new Map([[ROOM, [pushed(BOB, `$${count}`)]]]));
    await eventually(() => found.length === count, "it is found");
  }
});

receipts("wait within a bound: beyond, their users' markers are read at once", () => {
  using watching = watched({ afterMs: NEVER_MS });
  const { threads, found } = watching;
  threads.pushed(new Map([[ROOM, Array.from({ length: PROXY_PUSHED_RECEIPTS_MAX }, (_, i) => pushed(BOB, `$${i}`))]]));
  assert.equal(found, []);
  threads.pushed(new Map([[ROOM, [pushed(CAROL, "$more")]]]));
  assert.equal(found, [CAROL]);
});

receipts.run();
