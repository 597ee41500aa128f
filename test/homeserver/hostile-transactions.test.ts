/** Transactions with whatever the world sends: they are refused only for their token, or for not being JSON. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TRANSACTION_BYTES_MAX } from "../../src/limits.ts";
import { message, startFederation } from "../support/federation.ts";
import { type Body, decoded, eventually, pack } from "../support/harness.ts";
import { entriesOf, push, REGISTRATION } from "../support/pushing-homeserver.ts";
import { SENSELESS_DATA } from "../support/senseless-data.ts";

const ROOM = "!room:here.example";

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

const event = (id: string) => ({ ...message(id), room_id: ROOM });
const receipts = (users: Record<string, unknown>, id = "$1") => ({
  type: "m.receipt",
  room_id: ROOM,
  content: { [id]: { "m.read": users } },
});

async function leftOut(tidemark: Tidemark): Promise<Record<string, number>> {
  const text = await tidemark.metrics();
  const counts = text.matchAll(/^tidemark_transactions_left_out_total\{reason="(\w+)"\} (\d+)$/gm);
  const numbers = Array.from(counts, ([, reason, count]) => [reason, Number(count)] as const);
  return Object.fromEntries(numbers.filter(([, count]) => count > 0));
}

const hostile = suite("hostile transactions");

hostile("are accepted whatever JSON they are, and refused if they are no JSON (I1)", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const accepted = [
    "[]",
    "null",
    "7",
    '"text"',
    "{}",
    '{"events":5,"ephemeral":{}}',
    '{"events":null}',
    "\ufeff\n [1]",
  ];
  for (const [i, body] of accepted.entries()) {
    assert.equal(await push(tidemark, `a${i}`, body), { status: 200, body: {} }, body);
  }
  for (const body of ["", "{", "no", '{"events":[],}']) {
    const { status, body: answer } = await push(tidemark, "b", body);
    assert.equal([status, answer.errcode], [400, "M_BAD_JSON"], body);
  }
  assert.equal(await leftOut(tidemark), { malformed: 7 });
  assert.equal(await entriesOf(tidemark), []);
});

hostile("with receipts whose data makes no sense store them with the time of arrival (I1)", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const threads = {
    null: { ts: 5, thread_id: null },
    number: { ts: 5, thread_id: 7 },
    empty: { ts: 5, thread_id: "" },
  };
  const ofUsers = (all: Record<string, unknown>, prefix: string) =>
    Object.fromEntries(Object.entries(all).map(([name, value]) => [`@${prefix} ${name}:here.example`, value]));
  const ephemeral = [
    receipts({ ...ofUsers(SENSELESS_DATA, "data"), ...ofUsers(threads, "thread"), "@good:here.example": { ts: 7 } }),
    receipts({ "@after:here.example": { ts: 8 } }, "$2"),
  ];
  const before = Date.now();
  const body = { events: [event("$1"), event("$2")], ephemeral, "de.sorunome.msc2409.ephemeral": ephemeral };
  assert.is((await push(tidemark, 1, body)).status, 200);
  const entries = await entriesOf(tidemark);
  assert.equal(
    entries.slice(0, 2).map(([, { event_id }]) => event_id),
    ["$1", "$2"],
  );
  const stored = new Map<string, Body>(entries.slice(2).map((entry) => [entry[1], entry]));
  assert.is(stored.size, entries.length - 2, "each receipt once, though it is under both keys");
  for (const user of Object.keys(ofUsers(SENSELESS_DATA, "data"))) {
    const [, , , , thread, ts] = stored.get(user);
    assert.is(thread, "?", user);
    assert.ok(ts >= before && ts <= Date.now(), `${user}: ${ts}`);
  }
  for (const user of Object.keys(ofUsers(threads, "thread")))
    assert.equal(stored.get(user).slice(4, 6), ["?", 5], user);
  assert.is(stored.get("@good:here.example")[5], 7);
  assert.is(stored.get("@after:here.example")[3], "$2");
});

hostile("with more receipts than a request takes, of the longest ids, store all of them (I2)", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const users = Array.from({ length: 1_500 }, (_, i) => `@${i}${"\u0001".repeat(200)}:here.example`);
  const body = { events: [], ephemeral: [receipts(Object.fromEntries(users.map((user) => [user, { ts: 1 }])))] };
  assert.is((await push(tidemark, 1, body)).status, 200);
  assert.equal(
    (await entriesOf(tidemark)).map(([, user]) => user),
    users,
  );
});

hostile("with events that are all of small values store all of them (I2)", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const contents = [{ a: Array(32_000).fill(0) }, { a: Array(21_000).fill([]) }, { a: Array(20_000).fill("") }];
  const events = contents.flatMap((content, i) => [0, 1, 2].map((j) => ({ ...event(`$${i}${j}`), content })));
  assert.is((await push(tidemark, 1, { events })).status, 200);
  const entries = await entriesOf(tidemark);
  assert.equal(
    entries.map(([, { event_id, content }]) => [event_id, content.a.length]),
    events.map(({ event_id, content }) => [event_id, content.a.length]),
  );
});

hostile("that are too large are answered, not stored, and counted", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const text = JSON.stringify({ events: [event("$1")], filling: "x".repeat(TRANSACTION_BYTES_MAX) });
  assert.equal(await push(tidemark, 1, text), { status: 200, body: {} });
  assert.equal(await entriesOf(tidemark), []);
  assert.equal(await leftOut(tidemark), { too_large: 1 });
  assert.is((await push(tidemark, 2, { events: [event("$2")] })).status, 200);
  assert.is((await entriesOf(tidemark)).length, 1);
});

hostile("with events that are too large to be parsed keep the envelope, and what the fold reads", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const filling = "x".repeat(1_100_000);
  const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, i]));
  const acl = { type: "m.room.server_acl", state_key: "" };
  const events = [
    {
      ...event("$content"),
      content: { ...many, msgtype: "m.text", "m.relates_to": { rel_type: "r", event_id: "$1" } },
    },
    { ...event("$unsigned"), content: { body: "whole" }, unsigned: { redacted_because: many, age: 1 } },
    { ...event("$member"), type: "m.room.member", unsigned: { prev_content: { ...many, membership: "join" } } },
    { ...event("$acl"), ...acl, content: { filling, allow: ["*"], deny: ["bad.example"] } },
    { ...event("$half"), ...acl, content: { allow: ["*"], deny: Array(70_000).fill("b") } },
    { ...event("$odd"), content: filling, state_key: filling, redacts: filling },
    { ...event("$none"), sender: filling },
    [filling],
    event("$last"),
  ];
  assert.is((await push(tidemark, 1, { events })).status, 200);
  const stored = (await entriesOf(tidemark)).map(([, event]) => event);
  const byId = Object.fromEntries(stored.map((event) => [event.event_id, event]));
  assert.equal(Object.keys(byId), ["$content", "$unsigned", "$member", "$acl", "$half", "$odd", "$last"]);
  assert.equal(byId.$content.content, { msgtype: "m.text", "m.relates_to": { rel_type: "r", event_id: "$1" } });
  assert.equal([byId.$unsigned.content, byId.$unsigned.unsigned], [{ body: "whole" }, undefined]);
  assert.equal(byId.$member.unsigned, { prev_content: { membership: "join" } });
  assert.equal(byId.$acl.content, { allow: ["*"], deny: ["bad.example"] });
  assert.equal(byId.$half.content, {}, "a list that is cut would let servers in");
  assert.equal([byId.$odd.content, byId.$odd.state_key, byId.$odd.redacts], [{}, undefined, undefined]);
  assert.equal(await leftOut(tidemark), { malformed: 2 });
});

hostile("in which a key comes twice have the value of the last, as JSON says", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  const receipt = (user: string) => JSON.stringify(receipts({ [`@${user}:here.example`]: { ts: 1 } }));
  const twice = `{"type":"m.receipt","room_id":"${ROOM}","content":{},"content":{"$1":{},"\\u00241":{"m.read":
    {"@a:here.example":{"ts":1},"@b:here.example":{"ts":2},"@a:here.example":{"ts":3,"ts":4}}}}}`;
  const text = `{"events":[${JSON.stringify(event("$0"))}],"ephemeral":[${receipt("x")}],"ephemeral":[${twice}],
    "\\u0065vents":[${JSON.stringify(event("$1"))}]}`;
  assert.is((await push(tidemark, 1, text)).status, 200);
  assert.equal(
    (await entriesOf(tidemark)).map(([, item, , , , ts]) => item.event_id ?? [item, ts]),
    ["$1", ["@a:here.example", 4], ["@b:here.example", 2]],
  );
});

hostile(
  "of receipts of users whom other servers invent push out none of a local user's held receipts (I6)",
  async () => {
    await using tidemark = await startFederation({ registration: REGISTRATION });
    const rejected = tidemark.subscribe("tidemark.rejected.>");
    const local = ["$a", "$b", "$c"].map((id) => receipts({ "@local:here.example": { ts: 1 } }, id));
    assert.is((await push(tidemark, 1, { events: [event("$0")], ephemeral: local })).status, 200);
    const flood = (server: (i: number) => string) =>
      receipts(
        Object.fromEntries(Array.from({ length: 10_100 }, (_, i) => [`@${i}:${server(i)}`, { ts: 1 }])),
        "$unknown",
      );
    assert.is((await push(tidemark, 2, { ephemeral: [flood(() => "one.example")] })).status, 200);
    assert.is((await push(tidemark, 3, { ephemeral: [flood((i) => `s${i}.example`)] })).status, 200);
    const later = ["$a", "$b", "$c"].map(event);
    assert.is((await push(tidemark, 4, { events: later })).status, 200);
    await eventually(async () => {
      const { receipts } = await tidemark.query(ROOM, { op: "snapshot" });
      return receipts.$c?.["m.read"]["@local:here.example"] !== undefined;
    }, "the receipts are released");
    const users = rejected.messages.map(({ body }) => body.entry.user_id);
    assert.ok(users.length > 10_000, `${users.length} were pushed out`);
    assert.not.ok(users.includes("@local:here.example"));
  },
);

/** Takes the place of ingress. Refuses each request that has the text `bad`, as a whole. Resolves to what it accepted. */
function refusing(tidemark: Tidemark, errcode: string): { readonly accepted: Body[]; readonly requests: number[] } {
  const accepted: Body[] = [];
  const requests: number[] = [];
  tidemark.nc.subscribe("tidemark.in.*.*", {
    callback: (_, message) => {
      const items: Body[] = decoded(message.data);
      requests.push(items.length);
      const isBad = JSON.stringify(items).includes("bad");
      if (!isBad) accepted.push(...items);
      const reply = isBad ? { ok: false, errcode, error: "no" } : { ok: true, positions: items.map(() => 1) };
      message.respond(pack(reply));
    },
  });
  return { accepted, requests };
}

for (const errcode of ["M_BAD_JSON", "M_INVALID_PARAM", "M_TOO_LARGE"]) {
  hostile(`with items that ingress refuses for good, with ${errcode}, store the others once, in order`, async () => {
    await using tidemark = await startFederation({ registration: REGISTRATION, roles: new Set(["gateway", "worker"]) });
    const ingress = refusing(tidemark, errcode);
    const ids = Array.from({ length: 100 }, (_, i) => (i === 0 || i === 41 || i === 99 ? `$bad${i}` : `$${i}`));
    const users = ["@a:here.example", "@bad:here.example", "@c:here.example"];
    const ephemeral = [receipts(Object.fromEntries(users.map((user) => [user, { ts: 1 }])))];
    const body = { events: ids.map(event), ephemeral };
    assert.is((await push(tidemark, 1, body)).status, 200);
    assert.equal(
      ingress.accepted.map(({ event_id, user_id }) => user_id ?? event_id),
      [...ids, ...users].filter((id) => !id.includes("bad")),
    );
    assert.equal(await leftOut(tidemark), { [errcode]: 4 });
    const sent = ingress.requests.length;
    assert.ok(sent < 60, `${sent} requests`);
    assert.is((await push(tidemark, 1, body)).status, 200);
    assert.is(ingress.requests.length, sent, "the transaction counts as stored");
  });
}

hostile("are warned about once a minute and reason, without an id", async () => {
  const lines: Body[] = [];
  const log = pino({ level: "info" }, { write: (line) => lines.push(JSON.parse(line)) });
  await using tidemark = await startFederation({ registration: REGISTRATION, log });
  for (let i = 0; i < 5; i++) {
    const events = [
      { ...event("$secret"), sender: "secret" },
      { ...event("$secret"), room_id: 7 },
    ];
    assert.is((await push(tidemark, `secret-${i}`, { events, ephemeral: [receipts({ "@secret": {} })] })).status, 200);
  }
  assert.equal(await leftOut(tidemark), { malformed: 15 });
  const warnings = lines.filter(({ level }) => level >= 40);
  assert.equal(
    warnings.map(({ reason, items, msg }) => [reason, items, msg]),
    [["malformed", 3, "parts of transactions are not stored"]],
  );
  assert.not.match(JSON.stringify(lines), /secret/);
});

hostile("with items that ingress refuses for now are answered with 503, and nothing of them is left out", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION, roles: new Set(["gateway", "worker"]) });
  refusing(tidemark, "M_UNKNOWN");
  const { status, body } = await push(tidemark, 1, { events: [event("$1"), event("$bad")] });
  assert.equal([status, body.errcode], [503, "M_UNKNOWN"]);
  assert.equal(await leftOut(tidemark), {});
});

hostile.run();
