/** Queries of rooms and their answers (docs/design.md#queries), on a real broker, in both encodings. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  BASE,
  type Body,
  eventually,
  message,
  messages,
  receipt,
  sequenceOf,
  startTidemark,
  type TidemarkHarness,
} from "../../support/harness.ts";

const ROOM = "!queries:a.org";
const BOB = "@bob:a.org";
const EVE = "@eve:a.org";
const ENCODINGS = ["msgpack", "json"] as const;

const threaded = (id: string, root: string) =>
  message(id, { content: { body: id, "m.relates_to": { rel_type: "m.thread", event_id: root } } });

/** Resolves once everything sent so far is folded: an event that is sent now has its order. */
async function folded(tidemark: TidemarkHarness, room = ROOM): Promise<void> {
  const id = `$end${Math.random()}`;
  await tidemark.sent("backfill", room, message(id));
  await eventually(
    async () => (await tidemark.query(room, { op: "orders", event_ids: [id] })).orders[id] !== null,
    "everything is folded",
  );
}

const joined = (user: string) => ({ type: "m.room.member", state_key: user, content: { membership: "join" } });

/** A room with every kind of event and receipt. Returns the orders of its events by ID. */
async function livelyRoom(tidemark: TidemarkHarness): Promise<Record<string, number>> {
  const member = joined(BOB);
  await tidemark.sent("state", ROOM, [message("$eve", joined(EVE))]);
  await tidemark.sent("event", ROOM, [
    message("$member", member),
    message("$1"),
    threaded("$t1", "$1"),
    message("$2", { sender: BOB }),
    threaded("$t2", "$1"),
    message("$3"),
  ]);
  await tidemark.sent("backfill", ROOM, message("$0"));
  await tidemark.sent("receipt", ROOM, [
    receipt(BOB, "$1"),
    receipt(BOB, "$t1", { thread_id: "$1", ts: 6 }),
    receipt(BOB, "$2", { receipt_type: "m.read.private" }),
    receipt(BOB, "$3", { receipt_type: "m.fully_read" }),
    receipt(EVE, "$t2", { receipt_type: "m.read.private", thread_id: "$1" }),
    receipt(EVE, "$0", { receipt_type: "m.fully_read" }),
  ]);
  await folded(tidemark);
  const ids = ["$member", "$1", "$t1", "$2", "$t2", "$3"];
  return { ...Object.fromEntries(ids.map((id, i) => [id, BASE + i + 1])), $0: -1 };
}

const queries = suite("queries");

for (const encoding of ENCODINGS) {
  queries(`a snapshot as ${encoding} has the public state of the room`, async () => {
    await using tidemark = await startTidemark();
    const at = await livelyRoom(tidemark);
    const {
      position,
      timeline,
      timeline_position: newest,
      ...rest
    } = await tidemark.query(ROOM, { op: "snapshot" }, { encoding });
    assert.equal(rest, {
      ok: true,
      room_id: ROOM,
      receipts: {
        $1: { "m.read": { [BOB]: { ts: 5_000, order: at.$1 } } },
        $t1: { "m.read": { [BOB]: { ts: 6, order: at.$t1, thread_id: "$1" } } },
      },
      members: { [BOB]: "join", [EVE]: "join" },
    });
    // A log without records ends with its beginning.
    const [log] = (await tidemark.lastSequences()).filter((sequence) => sequence > 1);
    assert.is(sequenceOf(position), log, "it includes the newest record");
    assert.ok(newest < position, "where $3 is in the log, with other entries after it");
    assert.equal(
      timeline.map(({ event_id, unsigned }: Body) => [event_id, unsigned.order]),
      ["$member", "$1", "$t1", "$2", "$t2", "$3"].map((id) => [id, at[id]]),
      "live events, oldest first, with their orders",
    );
    assert.equal(timeline[1], { ...message("$1"), unsigned: { order: at.$1 } });
  });

  queries(`a user's snapshot as ${encoding} has that user's private receipts, and nobody else's`, async () => {
    await using tidemark = await startTidemark();
    const at = await livelyRoom(tidemark);
    const bob = await tidemark.query(ROOM, { op: "snapshot", user_id: BOB }, { encoding });
    assert.equal(bob.private, { $2: { "m.read.private": { [BOB]: { ts: 5_000, order: at.$2 } } } });
    assert.equal(bob.fully_read, { event_id: "$3", order: at.$3 });
    const eve = await tidemark.query(ROOM, { op: "snapshot", user_id: EVE }, { encoding });
    assert.equal(eve.private, { $t2: { "m.read.private": { [EVE]: { ts: 5_000, order: at.$t2, thread_id: "$1" } } } });
    assert.equal(eve.fully_read, { event_id: "$0", order: 0 });
    const stranger = await tidemark.query(ROOM, { op: "snapshot", user_id: "@who:a.org" }, { encoding });
    assert.equal(stranger.private, {});
    assert.not.ok("fully_read" in stranger);

    const nobody = await tidemark.query(ROOM, { op: "snapshot" }, { encoding });
    for (const [of, answer] of [
      ["bob", eve],
      ["eve", bob],
      ["anyone", stranger],
      ["anyone", nobody],
    ]) {
      const { members: _, timeline: __, ...rest } = answer;
      const text = JSON.stringify(rest);
      if (of !== "bob") assert.not.match(text, "@eve");
      if (of !== "eve") assert.not.match(text, `"m.read.private":{"${BOB}`);
      if (of === "anyone") assert.not.match(text, "m.read.private");
    }
  });

  queries(`orders as ${encoding} are null for unknown events`, async () => {
    await using tidemark = await startTidemark();
    const at = await livelyRoom(tidemark);
    const answer = await tidemark.query(
      ROOM,
      { op: "orders", event_ids: ["$1", "$0", "$never", "$toString"] },
      { encoding },
    );
    assert.is(answer.ok, true);
    assert.type(answer.position, "number");
    assert.equal(answer.orders, { $1: at.$1, $0: at.$0!, $never: null, $toString: null });
  });

  queries(`an event as ${encoding} has its order and its body, and is null if it is unknown`, async () => {
    await using tidemark = await startTidemark();
    const at = await livelyRoom(tidemark);
    const live = await tidemark.query(ROOM, { op: "event", event_id: "$3" }, { encoding });
    assert.equal(live, { ok: true, event: { ...message("$3"), unsigned: { order: at.$3 } } });
    const old = await tidemark.query(ROOM, { op: "event", event_id: "$0" }, { encoding });
    assert.equal(old, { ok: true, event: { ...message("$0"), unsigned: { order: at.$0! } } });
    const unknown = await tidemark.query(ROOM, { op: "event", event_id: "$never" }, { encoding });
    assert.equal(unknown, { ok: true, event: null });
  });

  queries(`read as ${encoding} follows markers, threads, own events and negative orders`, async () => {
    await using tidemark = await startTidemark();
    await livelyRoom(tidemark);
    const event_ids = ["$0", "$1", "$t1", "$2", "$t2", "$3", "$never"];
    const bob = await tidemark.query(ROOM, { op: "read", user_id: BOB, event_ids }, { encoding });
    assert.equal(bob, {
      ok: true,
      read: { $0: true, $1: true, $t1: true, $2: true, $t2: false, $3: false, $never: null },
    });
    const eve = await tidemark.query(ROOM, { op: "read", user_id: EVE, event_ids }, { encoding });
    assert.equal(eve.read, { $0: true, $1: false, $t1: true, $2: false, $t2: true, $3: false, $never: null });
  });

  queries(`unread as ${encoding} counts other users' messages, in total and by thread`, async () => {
    await using tidemark = await startTidemark();
    await livelyRoom(tidemark);
    const bob = await tidemark.query(ROOM, { op: "unread", user_id: BOB }, { encoding });
    assert.equal(bob, { ok: true, unthreaded: { count: 2 }, main: { count: 1 }, threads: { $1: { count: 1 } } });
    const eve = await tidemark.query(ROOM, { op: "unread", user_id: EVE }, { encoding });
    assert.equal(eve, { ok: true, unthreaded: { count: 3 }, main: { count: 3 }, threads: {} });
    const stranger = await tidemark.query(ROOM, { op: "unread", user_id: "@who:a.org" }, { encoding });
    assert.equal(stranger, { ok: true, unthreaded: { count: 0 }, main: { count: 0 }, threads: {} });
  });

  queries(`an unknown room as ${encoding} answers like an empty one`, async () => {
    await using tidemark = await startTidemark();
    const ask = (op: Record<string, unknown>) => tidemark.query("!nowhere:a.org", op, { encoding });
    const empty = { ok: true, room_id: "!nowhere:a.org", position: 0, receipts: {}, timeline: [], members: {} };
    assert.equal(await ask({ op: "snapshot" }), empty);
    assert.equal(await ask({ op: "snapshot", user_id: BOB }), { ...empty, private: {} });
    assert.equal(await ask({ op: "orders", event_ids: ["$1"] }), { ok: true, position: 0, orders: { $1: null } });
    assert.equal(await ask({ op: "event", event_id: "$1" }), { ok: true, event: null });
    for (const more of [{}, { types: ["m.room.create"] }, { members: [BOB] }, { viewer: BOB }, { at: 5 }]) {
      assert.equal(await ask({ op: "state", ...more }), { ok: true, events: [] });
    }
    assert.equal(await ask({ op: "events", dir: "b" }), { ok: true, events: [] });
    assert.equal(await ask({ op: "roots" }), { ok: true, events: [] });
    assert.equal(await ask({ op: "read", user_id: BOB, event_ids: ["$1"] }), { ok: true, read: { $1: null } });
    assert.equal(await ask({ op: "unread", user_id: BOB }), {
      ok: true,
      unthreaded: { count: 0 },
      main: { count: 0 },
      threads: {},
    });
  });
}

queries("a timeline has 20 events by default, and 100 at most", async () => {
  await using tidemark = await startTidemark();
  const ids = Array.from({ length: 120 }, (_, i) => `$${i}`);
  await tidemark.sent("event", ROOM, messages(120));
  await folded(tidemark);
  const timeline = async (timeline_limit?: number) => {
    const op = { op: "snapshot", ...(timeline_limit !== undefined && { timeline_limit }) };
    return (await tidemark.query(ROOM, op)).timeline.map(({ event_id }: Body) => event_id);
  };
  assert.equal(await timeline(), ids.slice(-20));
  assert.equal(await timeline(3), ids.slice(-3));
  assert.equal(await timeline(0), []);
  assert.equal(await timeline(500), ids.slice(-100));
});

queries("a redacted event is served redacted, with its order, in every answer", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$secret", { content: { body: "the secret" } }));
  await tidemark.sent("backfill", ROOM, message("$old", { content: { body: "the secret" } }));
  await tidemark.sent("event", ROOM, [
    message("$r1", { type: "m.room.redaction", redacts: "$secret", content: {} }),
    message("$r2", { type: "m.room.redaction", content: { redacts: "$old" } }),
  ]);
  await folded(tidemark);
  for (const [id, order, redaction] of [
    ["$secret", BASE + 1, "$r1"],
    ["$old", -1, "$r2"],
  ] as const) {
    const { event } = await tidemark.query(ROOM, { op: "event", event_id: id });
    assert.equal(event.content, {});
    assert.is(event.unsigned.order, order);
    assert.is(event.unsigned.redacted_because.event_id, redaction);
  }
  const snapshot = await tidemark.query(ROOM, { op: "snapshot" });
  assert.not.match(JSON.stringify(snapshot), "the secret");
  assert.is(snapshot.timeline[0].event_id, "$secret");
  assert.is(snapshot.timeline[0].unsigned.order, BASE + 1);
});

queries("the body of an event is read from the log, so it outlives the timeline and a restart", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$first", { content: { body: "from the log" } }));
  await tidemark.sent(
    "event",
    ROOM,
    Array.from({ length: 150 }, (_, i) => message(`$${i}`)),
  );
  await folded(tidemark);
  const event = { ...message("$first", { content: { body: "from the log" } }), unsigned: { order: BASE + 1 } };
  assert.equal((await tidemark.query(ROOM, { op: "event", event_id: "$first" })).event, event);
  await tidemark.restart();
  assert.equal((await tidemark.query(ROOM, { op: "event", event_id: "$first" })).event, event);
});

queries("a timeline that is too large for the broker is cut, and marked as limited", async () => {
  await using tidemark = await startTidemark({ payloadBytesMax: 1_048_576 });
  const content = { body: "x".repeat(60_000) };
  for (let from = 0; from < 24; from += 8) {
    await tidemark.sent(
      "event",
      ROOM,
      Array.from({ length: 8 }, (_, i) => message(`$${from + i}`, { content })),
    );
  }
  await folded(tidemark);
  const reply = await tidemark.query(ROOM, { op: "snapshot", timeline_limit: 24 });
  assert.is(reply.limited, true);
  assert.ok(reply.timeline.length > 0 && reply.timeline.length < 24);
  assert.is(reply.timeline.at(-1).event_id, "$23");
});

queries("an answer that is too large for the broker is an error, not silence", async () => {
  await using tidemark = await startTidemark({ payloadBytesMax: 1_048_576 });
  const ids = Array.from({ length: 1_024 }, (_, i) => `$${"é".repeat(250)}${1_000 + i}`);
  const thread = { "m.relates_to": { rel_type: "m.thread", event_id: `$${"🌊".repeat(250)}` } };
  for (let from = 0; from < ids.length; from += 256) {
    await tidemark.sent(
      "event",
      ROOM,
      ids.slice(from, from + 256).map((id) => message(id, { content: thread })),
    );
  }
  await folded(tidemark);
  const reply = await tidemark.query(ROOM, { op: "threads", event_ids: ids });
  assert.is(reply.ok, false);
  assert.is(reply.errcode, "M_TOO_LARGE");
  assert.is((await tidemark.query(ROOM, { op: "threads", event_ids: ids.slice(512) })).ok, true);
});

queries("a query without a reply subject changes nothing", async () => {
  await using tidemark = await startTidemark();
  tidemark.nc.publish("tidemark.query.!queries:a%2Eorg", Buffer.from('{"op":"snapshot"}'));
  assert.is((await tidemark.query(ROOM, { op: "snapshot" })).position, 0);
});

queries.run();
