/** Requests that need records of version 2 (docs/design.md#records), on a real broker. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BASE, eventually, message, receipt, startTidemark, type TidemarkHarness } from "../support/harness.ts";

const ROOM = "!versions:a.org";
const BOB = "@bob:a.org";
const JOINED = { type: "m.room.member", state_key: BOB, content: { membership: "join" } };

/** By what they need version 2 for. */
const NEWER: readonly (readonly [kind: string, body: unknown])[] = [
  ["history", message("$before")],
  ["state", { events: [message("$join", JOINED)], as_of: 0 }],
  ["receipt", receipt(BOB, "$live", { accepted: true })],
];

/** The heartbeat of a worker, as the version before wrote it: without what it reads. */
async function startOldWorker({ nc }: TidemarkHarness) {
  const leases = await nc.jetstream().views.kv("tidemark_leases");
  const row = { v: 1, session: "old", fold: 1, host: "h", url: "u", partitions: [], draining: false };
  await leases.put("worker.old", JSON.stringify(row));
  return { stop: () => leases.delete("worker.old") };
}

const versions = suite("record versions at ingress");

versions("what an old worker can't read is refused for the time being, and everything else is stored", async () => {
  await using tidemark = await startTidemark();
  const old = await startOldWorker(tidemark);
  for (const [kind, body] of NEWER) {
    const reply = await tidemark.send(kind, ROOM, body);
    assert.is(reply.errcode, "M_UNKNOWN", JSON.stringify(reply));
    assert.match(reply.error, /needs records of version 2, and a live worker reads them up to 1/);
  }
  await tidemark.sent("event", ROOM, message("$live"));
  await tidemark.sent("state", ROOM, [message("$join", JOINED)]);
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$live"));

  await old.stop();
  await eventually(
    async () => (await tidemark.send("history", ROOM, message("$before"))).ok,
    "an answer is used for 5 s",
  );
  for (const [kind, body] of NEWER) await tidemark.sent(kind, ROOM, body);
});

versions("history is ordered below the live events, and is unread", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$live"));
  await tidemark.sent("history", ROOM, [message("$2"), message("$1")]);
  await tidemark.sent("backfill", ROOM, message("$0"));
  const ids = ["$0", "$1", "$2", "$live"];
  let orders: unknown[] = [];
  await eventually(async () => {
    const answer = await tidemark.query(ROOM, { op: "orders", event_ids: ids });
    orders = ids.map((id) => answer.orders[id]);
    return !orders.includes(null);
  }, "every event has an order");
  assert.equal(orders, [-1, BASE - 1, BASE, BASE + 1]);
  const { read } = await tidemark.query(ROOM, { op: "read", user_id: BOB, event_ids: ids });
  assert.equal(
    ids.map((id) => read[id]),
    [true, false, false, false],
  );
});

versions("state as of an order leaves alone what a later live event has set", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("event", ROOM, message("$left", { ...JOINED, content: { membership: "leave" } }));
  await tidemark.sent("state", ROOM, { events: [message("$join", JOINED)], as_of: BASE + 1 });
  const { position } = await tidemark.query(ROOM, { op: "snapshot" });
  const membersOf = async () => (await tidemark.query(ROOM, { op: "snapshot" })).members;
  assert.equal(await membersOf(), { [BOB]: "leave" });
  await tidemark.sent("state", ROOM, { events: [message("$join", JOINED)], as_of: BASE + 2 });
  await eventually(
    async () => (await tidemark.query(ROOM, { op: "snapshot" })).position > position,
    "the entry is folded",
  );
  assert.equal(await membersOf(), { [BOB]: "join" });
});

versions("a fault in state as of an order is named", async () => {
  await using tidemark = await startTidemark();
  const event = message("$join", JOINED);
  for (const [body, error] of [
    [{ events: [event] }, "as_of: must be an order: an integer"],
    [{ events: [event], as_of: -1 }, "as_of: must not be negative"],
    [{ events: event, as_of: 0 }, "events: must be an array of state events"],
    [{ events: [], as_of: 0 }, "the array is empty"],
    [{ events: [event, message("$1")], as_of: 0 }, "state_key: is missing, so this is no state event"],
  ] as const) {
    const reply = await tidemark.send("state", ROOM, body);
    assert.equal([reply.errcode, reply.error], ["M_INVALID_PARAM", error]);
  }
  const stateful = { ...event, events: [] };
  await tidemark.sent("state", ROOM, stateful);
  assert.is((await tidemark.send("receipt", ROOM, receipt(BOB, "$1", { accepted: false }))).errcode, "M_INVALID_PARAM");
});

versions.run();
