/** EDUs of whatever other servers send, on a real broker (docs/design.md#requests). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { EDU_ITEMS_MAX, EDU_REFUSALS_NAMED_MAX, EDU_ROOMS_MAX, ROOM_ANSWER_MS } from "../../src/limits.ts";
import { member, message, startFederation } from "../support/federation.ts";
import { type Body, decoded, eventually, pack, receipt, startTidemark, token } from "../support/harness.ts";
import { entriesOf } from "../support/pushing-homeserver.ts";
import { SENSELESS_DATA } from "../support/senseless-data.ts";

const ROOM = "!room:here.example";
const ORIGIN = "there.example";
const B = "@b:there.example";
const GOOD = { event_ids: ["$1"], data: { ts: 1 } };

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

const reads = (users: Record<string, unknown>, room = ROOM) => ({ [room]: { "m.read": users } });

/** The receipts in the log. */
async function receiptsOf(tidemark: Tidemark): Promise<Body[]> {
  return (await entriesOf(tidemark)).filter(([kind]) => kind === 2);
}

async function withRoom(): Promise<Tidemark> {
  const tidemark = await startFederation();
  await tidemark.sent("event", ROOM, [member(B), message("$1")]);
  return tidemark;
}

/** The reply, and its size. */
async function sized(tidemark: Tidemark, edu: Uint8Array): Promise<[reply: Body, bytes: number]> {
  const bytes = await tidemark.request(`tidemark.in.edu.${token(ORIGIN)}`, edu);
  return [decoded(bytes), bytes.length];
}

const hostile = suite("hostile EDUs");

hostile("of very many items store the first 1,024, and have a bounded reply (I7)", async () => {
  await using tidemark = await withRoom();
  const items = (count: number) => {
    const users = Array.from({ length: count }, (_, i) => `"${i.toString(36)}":0`);
    return Buffer.from(`{"${ROOM}":{"m.read":{${users.join()}}}}`);
  };
  const [tooMany] = await sized(tidemark, items(60_000));
  assert.equal([tooMany.ok, tooMany.errcode], [false, "M_TOO_LARGE"]);

  const count = 16_000;
  const [refused, bytes] = await sized(tidemark, items(count));
  assert.equal([refused.accepted, refused.rejected.length], [0, EDU_REFUSALS_NAMED_MAX]);
  assert.is(refused.rejected_more, count - EDU_REFUSALS_NAMED_MAX);
  assert.ok(bytes < 65_536, `${bytes}`);

  const valid = Array.from({ length: 3_000 }, (_, i) => [`@${i}:${ORIGIN}`, GOOD]);
  const [reply] = await sized(tidemark, pack(reads(Object.fromEntries(valid))));
  assert.is(reply.accepted, EDU_ITEMS_MAX);
  assert.is(reply.rejected.length + reply.rejected_more, 3_000 - EDU_ITEMS_MAX);
  assert.equal(
    (await receiptsOf(tidemark)).map(([, user]) => user),
    valid.slice(0, EDU_ITEMS_MAX).map(([user]) => user),
  );
});

hostile("with names of any length and characters have a bounded reply (I7)", async () => {
  await using tidemark = await withRoom();
  const odd = (i: number) => `\u0001${i}${"漢\u0002".repeat(200)}`;
  const content = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [odd(i), { "m.read": { [odd(i)]: {} } }]));
  for (const bytes of [pack(content), Buffer.from(JSON.stringify(content))]) {
    const [reply, size] = await sized(tidemark, bytes);
    assert.equal([reply.rejected.length, reply.rejected_more], [EDU_REFUSALS_NAMED_MAX, 10]);
    assert.ok(size < 262_144, `${size}`);
  }
});

hostile("of rooms that nobody knows leave nothing in the log, and cost few questions (I7)", async () => {
  await using tidemark = await withRoom();
  const questions = tidemark.subscribe("tidemark.query.*");
  const invented = Array.from({ length: 5_000 }, (_, i) => [`!${i}:here.example`, { "m.read": { [B]: 0 } }]);
  const before = await tidemark.lastSequences();
  const [reply] = await sized(tidemark, pack(Object.fromEntries(invented)));
  assert.equal([reply.accepted, reply.rejected.length + reply.rejected_more], [0, 5_000]);
  assert.equal(questions.messages, [], "no item is a receipt");

  const valid = invented.slice(0, 2_000).map(([room]) => [room, { "m.read": { [B]: GOOD } }]);
  for (let i = 0; i < 3; i++) {
    const edu = { ...reads({ [B]: GOOD }), ...Object.fromEntries(valid) };
    const [reply] = await sized(tidemark, pack(edu));
    assert.is(reply.accepted, 1, "the neighbour");
    assert.is(reply.rejected.length + reply.rejected_more, 2_000);
  }
  assert.ok(questions.messages.length < EDU_ROOMS_MAX, `${questions.messages.length} questions`);
  const [unknown] = (await tidemark.send("edu", ORIGIN, reads({ [B]: GOOD }, "!0:here.example"))).rejected;
  assert.equal(unknown, { room_id: "!0:here.example", user_id: B, reason: "room_id: is not known here" });
  const after = await tidemark.lastSequences();
  assert.is(
    after.reduce((sum, sequence, i) => sum + sequence - before[i]!, 0),
    3,
  );
});

hostile("that come at a time, of rooms that nobody knows, leave nothing either (I7)", async () => {
  await using tidemark = await withRoom();
  const before = await tidemark.lastSequences();
  const edus = Array.from({ length: 3 }, (_, i) =>
    Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`!${i}-${j}:x`, { "m.read": { [B]: GOOD } }])),
  );
  const replies = await Promise.all(edus.map((edu) => tidemark.send("edu", ORIGIN, edu)));
  assert.equal(
    replies.map(({ accepted }) => accepted),
    edus.map(() => 0),
  );
  assert.equal(await tidemark.lastSequences(), before);
});

hostile("with data and threads that make no sense give unthreaded receipts of the time of arrival (I8)", async () => {
  await using tidemark = await withRoom();
  const threads: Record<string, unknown> = { null: null, number: 7, empty: "", map: {}, list: ["$1"], false: false };
  const items: Record<string, unknown> = { "@absent:there.example": { event_ids: ["$1"] }, [B]: GOOD };
  for (const [name, value] of Object.entries(SENSELESS_DATA))
    items[`@data ${name}:${ORIGIN}`] = { ...GOOD, data: value };
  for (const [name, thread] of Object.entries(threads)) {
    items[`@thread ${name}:${ORIGIN}`] = { ...GOOD, data: { ts: 5, thread_id: thread } };
  }
  const before = Date.now();
  const { accepted, rejected } = await tidemark.send("edu", ORIGIN, reads(items), { encoding: "json" });
  assert.equal([accepted, rejected], [Object.keys(items).length, []]);
  for (const [, user, , , thread, ts, origin] of await receiptsOf(tidemark)) {
    assert.equal([thread, origin], [null, ORIGIN], user);
    if (user.startsWith("@thread")) assert.is(ts, 5, user);
    else if (user !== B) assert.ok(ts >= before && ts <= Date.now(), `${user}: ${ts}`);
  }
});

hostile("with values that can't be carried lose those values alone (I8)", async () => {
  await using tidemark = await withRoom();
  const deep = `${"[".repeat(100)}${"]".repeat(100)}`;
  const item = (data: string) => `{"event_ids":["$1"],"data":${data}}`;
  const users = ['{"ts":1e999}', '{"__proto__":{"ts":3}}', `{"ts":4,"x":${deep}}`, deep, '{"ts":5,"x":"\\ud800"}'];
  const items = users.map((data, i) => `"@${i}:there.example":${item(data)}`);
  const text = `{"__proto__":{},"${ROOM}":{"m.read":{${items.join()}},"__proto__":1}}`;
  const [reply] = await sized(tidemark, Buffer.from(text));
  assert.equal([reply.ok, reply.accepted], [true, users.length], JSON.stringify(reply));
  const times = (await receiptsOf(tidemark)).map(([, , , , , ts]) => ts);
  assert.equal([times[2], times[4]], [4, 5]);
});

hostile("in a room whose first events were just stored are accepted", async () => {
  await using tidemark = await startFederation();
  for (let i = 0; i < 30; i++) {
    const room = `!new${i}:here.example`;
    await tidemark.sent(i % 2 === 0 ? "state" : "event", room, [member(B)]);
    assert.is((await tidemark.send("edu", ORIGIN, reads({ [B]: GOOD }, room))).accepted, 1);
  }
});

hostile(
  "are accepted for rooms that were known before a restart, and refused for a room that only looks like them",
  async () => {
    await using tidemark = await withRoom();
    await tidemark.restart();
    assert.is((await tidemark.send("edu", ORIGIN, reads({ [B]: GOOD }))).accepted, 1);
    assert.is((await tidemark.send("edu", ORIGIN, reads({ [B]: GOOD }, `${ROOM}x`))).accepted, 0);
  },
);

hostile("are not compared with local receipts, which are held for rooms that nobody knows", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("receipt", ROOM, receipt("@a:a.org", "$1"));
  await tidemark.sent("event", ROOM, message("$1"));
  await eventually(async () => {
    const { receipts } = await tidemark.query(ROOM, { op: "snapshot" });
    return receipts.$1?.["m.read"]["@a:a.org"] !== undefined;
  }, "the receipt");
});

hostile("are accepted when nobody knows which rooms there are, in time", async () => {
  await using tidemark = await startTidemark({ roles: ["ingress"] });
  assert.is((await tidemark.send("edu", ORIGIN, reads({ [B]: GOOD }))).accepted, 1, "nobody listens");
  tidemark.nc.subscribe("tidemark.query.*", { queue: "tidemark-query", callback: () => {} });
  await tidemark.nc.flush();
  const begun = performance.now();
  const edu = { ...reads({ [B]: GOOD }, "!silent:x"), ...reads({ [B]: GOOD }, "!silence:x") };
  assert.is((await tidemark.send("edu", ORIGIN, edu)).accepted, 2, "nobody answers");
  const ms = performance.now() - begun;
  assert.ok(ms > ROOM_ANSWER_MS - 10, `${ms} ms`);
});

hostile.run();
