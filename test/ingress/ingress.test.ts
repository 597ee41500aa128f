/** Requests, and how ingress answers them (docs/design.md#subjects, docs/design.md#requests), on a real broker. */
import { StringCodec } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  BASE,
  type Body,
  decoded,
  eventually,
  message,
  positionOf,
  receipt,
  sequenceOf,
  startTidemark,
  type TidemarkHarness,
  token,
} from "../support/harness.ts";

const ROOM = "!ingress:a.org";
/** Of the first record of a room: the log begins with a record of its own. */
const FIRST_SEQUENCE = 2;
const BOB = "@bob:a.org";
const text = StringCodec();

/** By kind of request: an item, and its entry in the log. */
const REQUEST_KINDS: readonly { kind: string; item: Record<string, unknown>; entry: (item: Body) => unknown[] }[] = [
  { kind: "event", item: message("$live"), entry: (item) => [0, item] },
  { kind: "history", item: message("$before"), entry: (item) => [5, item] },
  { kind: "backfill", item: message("$old"), entry: (item) => [1, item] },
  {
    kind: "state",
    item: message("$member", { type: "m.room.member", state_key: BOB, content: { membership: "join" } }),
    entry: (item) => [3, item],
  },
  {
    kind: "receipt",
    item: receipt(BOB, "$live", { thread_id: "main" }),
    entry: () => [2, BOB, "m.read", "$live", "main", 5_000, null],
  },
  {
    kind: "receipt",
    item: receipt(BOB, "$live", { thread_id: "$root", accepted: true }),
    entry: () => [2, BOB, "m.read", "$live", "$root", 5_000, null, true],
  },
];

async function entryAt(tidemark: TidemarkHarness, room: string, position: number): Promise<unknown> {
  const records = await tidemark.records(tidemark.partitionOf(room));
  return records.find(({ sequence }) => sequence === sequenceOf(position))?.entries[position % 1024];
}

/** Sends a request that must be refused, and asserts that nothing of it is in the log. */
async function refused(tidemark: TidemarkHarness, request: () => Promise<Body>): Promise<Body> {
  const before = await tidemark.lastSequences();
  const reply = await request();
  assert.is(reply.ok, false, JSON.stringify(reply));
  assert.type(reply.error, "string");
  assert.equal(await tidemark.lastSequences(), before, "nothing was appended");
  return reply;
}

const ingress = suite("ingress");

for (const { kind, item, entry } of REQUEST_KINDS) {
  for (const encoding of ["msgpack", "json"] as const) {
    ingress(`${kind} as ${encoding} is stored where the reply says`, async () => {
      await using tidemark = await startTidemark();
      const one = await tidemark.send(kind, ROOM, item, { encoding });
      assert.equal(one, { ok: true, positions: [positionOf(FIRST_SEQUENCE, 0)] });
      const several = await tidemark.send(kind, ROOM, [item, item, item], { encoding });
      assert.equal(several, { ok: true, positions: [0, 1, 2].map((index) => positionOf(FIRST_SEQUENCE + 1, index)) });
      for (const position of [...one.positions, ...several.positions]) {
        assert.equal(await entryAt(tidemark, ROOM, position), entry(item));
      }
      const [first] = await tidemark.records(tidemark.partitionOf(ROOM));
      assert.is(first?.subject, `tidemark.log.${tidemark.partitionOf(ROOM)}.${token(ROOM)}`);
      assert.ok(Math.abs(first!.at - Date.now()) < 60_000, "the record has the time of ingress");
    });
  }
}

ingress("a receipt without ts gets the time of its arrival", async () => {
  await using tidemark = await startTidemark();
  const { ts, ...undated } = receipt(BOB, "$1");
  const [position] = await tidemark.sent("receipt", ROOM, undated);
  const entry = (await entryAt(tidemark, ROOM, position!)) as unknown[];
  assert.ok(Math.abs((entry[5] as number) - Date.now()) < 60_000);
});

ingress("a request without a reply subject is stored, too", async () => {
  await using tidemark = await startTidemark();
  const events = tidemark.subscribe("tidemark.client.>");
  tidemark.nc.publish(`tidemark.in.event.${token(ROOM)}`, text.encode(JSON.stringify(message("$silent"))));
  tidemark.nc.publish(`tidemark.in.event.${token(ROOM)}`, text.encode("{"));
  const { body } = await events.next();
  assert.is(body.events[0].event_id, "$silent");
  assert.equal((await tidemark.lastSequences()).toSorted(), [1, FIRST_SEQUENCE]);
});

ingress("an invalid item of an array is named by its index, and nothing of the array is stored", async () => {
  await using tidemark = await startTidemark();
  for (const { kind, item } of REQUEST_KINDS) {
    const reply = await refused(tidemark, () => tidemark.send(kind, ROOM, [item, item, { ...item, event_id: 5 }]));
    assert.is(reply.errcode, "M_INVALID_PARAM", kind);
    assert.is(reply.index, 2, kind);
    assert.match(reply.error, /^event_id: /);
    const single = await refused(tidemark, () => tidemark.send(kind, ROOM, { ...item, event_id: 5 }));
    assert.not.ok("index" in single, "a single item has no index");
  }
});

ingress("an event whose room is not its subject's is refused", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1", { room_id: ROOM }));
  const reply = await refused(tidemark, () =>
    tidemark.send("event", ROOM, [message("$2"), message("$3", { room_id: "!other:a.org" })]),
  );
  assert.is(reply.errcode, "M_INVALID_PARAM");
  assert.is(reply.index, 1);
  assert.match(reply.error, /^room_id: /);
});

ingress("an array has at least one item, and at most 1024", async () => {
  await using tidemark = await startTidemark();
  const many = (count: number) => Array.from({ length: count }, (_, i) => receipt(`@u${i}:a.org`, "$1"));
  const positions = await tidemark.sent("receipt", ROOM, many(1024));
  assert.is(positions.length, 1024);
  assert.is(positions.at(-1), positionOf(FIRST_SEQUENCE, 1023));
  const over = await refused(tidemark, () => tidemark.send("receipt", ROOM, many(1025)));
  assert.is(over.errcode, "M_TOO_LARGE");
  const none = await refused(tidemark, () => tidemark.send("receipt", ROOM, []));
  assert.is(none.errcode, "M_INVALID_PARAM");
});

ingress("a state entry must have a state key", async () => {
  await using tidemark = await startTidemark();
  const reply = await refused(tidemark, () => tidemark.send("state", ROOM, message("$1")));
  assert.is(reply.errcode, "M_INVALID_PARAM");
  assert.match(reply.error, /^state_key: /);
});

ingress("an unknown receipt type and a threaded m.fully_read are refused by field", async () => {
  await using tidemark = await startTidemark();
  const type = await refused(tidemark, () =>
    tidemark.send("receipt", ROOM, receipt(BOB, "$1", { receipt_type: "m.seen" })),
  );
  assert.match(type.error, /^receipt_type: /);
  const thread = await refused(tidemark, () =>
    tidemark.send("receipt", ROOM, receipt(BOB, "$1", { receipt_type: "m.fully_read", thread_id: "main" })),
  );
  assert.match(thread.error, /^thread_id: /);
});

ingress("a body that can't be decoded is refused with M_BAD_JSON", async () => {
  await using tidemark = await startTidemark();
  for (const bytes of [Buffer.from('{"event_id":'), Buffer.from([0xc1]), Buffer.from([0x81, 0xa1])]) {
    const reply = await refused(tidemark, async () =>
      decodedAs(bytes, await tidemark.request(`tidemark.in.event.${token(ROOM)}`, bytes)),
    );
    assert.is(reply.errcode, "M_BAD_JSON");
  }
});

ingress("a repeated event gets a new position, and keeps its first order", async () => {
  await using tidemark = await startTidemark();
  const [first] = await tidemark.sent("event", ROOM, message("$1"));
  const [second] = await tidemark.sent("event", ROOM, message("$1"));
  const [third] = await tidemark.sent("backfill", ROOM, message("$1"));
  assert.ok(first! < second! && second! < third!);
  await tidemark.sent("event", ROOM, message("$end"));
  await eventually(async () => {
    const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ["$1", "$end"] });
    if (orders.$end === null) return false;
    assert.equal(orders, { $1: BASE + 1, $end: BASE + 2 });
    return true;
  }, "the last event");
});

ingress("backfill, sent newest first, gets orders below all live events, and older events lower ones", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$live"));
  await tidemark.sent("backfill", ROOM, [message("$b3"), message("$b2"), message("$b1")]);
  await tidemark.sent("backfill", ROOM, message("$b0"));
  const event_ids = ["$b0", "$b1", "$b2", "$b3", "$live"];
  await eventually(
    async () => (await tidemark.query(ROOM, { op: "orders", event_ids })).orders.$b0 !== null,
    "the oldest event",
  );
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids });
  assert.equal(
    event_ids.map((id) => orders[id]),
    [-4, -3, -2, -1, BASE + 1],
  );
});

ingress("a state entry sets membership, and gets no order", async () => {
  await using tidemark = await startTidemark();
  const member = { type: "m.room.member", state_key: BOB, content: { membership: "join" } };
  await tidemark.sent("state", ROOM, [message("$member", member)]);
  await tidemark.sent("event", ROOM, message("$1"));
  await eventually(
    async () => (await tidemark.query(ROOM, { op: "orders", event_ids: ["$1"] })).orders.$1 !== null,
    "the event",
  );
  const { members, timeline } = await tidemark.query(ROOM, { op: "snapshot" });
  assert.equal(members, { [BOB]: "join" });
  assert.equal(
    timeline.map(({ event_id }: Body) => event_id),
    ["$1"],
  );
  assert.equal((await tidemark.query(ROOM, { op: "orders", event_ids: ["$member"] })).orders, { $member: null });
});

function decodedAs(request: Uint8Array, reply: Uint8Array): Body {
  assert.is(reply[0] === 0x7b, request[0] === 0x7b, "the reply has the encoding of the request");
  return decoded(reply);
}

ingress("older events with `after` are stored only if nothing of the room came after that position", async () => {
  await using tidemark = await startTidemark();
  const older = (kind: "history" | "backfill", id: string, after: unknown) =>
    tidemark.send(kind, ROOM, { events: [message(id)], after });
  const [first] = (await older("history", "$2", 0)).positions;
  assert.is((await older("history", "$1", 0)).errcode, "M_BAD_STATE", "the room has an entry now");
  const [second] = (await older("history", "$1", first)).positions;
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  assert.equal(await older("backfill", "$0", second), {
    ok: false,
    errcode: "M_BAD_STATE",
    error: "after: the room's log has gone on since this position",
  });
  await tidemark.sent("event", "!other:a.org", message("$other"));
  const { position } = await tidemark.query(ROOM, { op: "orders", event_ids: [] });
  const [last] = (await older("backfill", "$0", position)).positions;
  await eventually(async () => (await tidemark.query(ROOM, { op: "snapshot" })).position === last, "the fold");
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ["$0", "$1", "$2"] });
  assert.equal(orders, { $0: -1, $1: BASE - 1, $2: BASE });
  for (const [after, error] of [
    [null, "after: must be a position: an integer"],
    [-1, "after: must not be negative"],
  ] as const) {
    const reply = await older("history", "$3", after);
    assert.equal([reply.errcode, reply.error], ["M_INVALID_PARAM", error]);
  }
});

ingress.run();
