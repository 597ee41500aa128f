/** Transactions that a homeserver pushes to the gateway. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DEPTH_MAX } from "../../src/limits.ts";
import { member, message, read, startFederation } from "../support/federation.ts";
import { BASE, call, entriesOf, HS_TOKEN, push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOM = "!room:here.example";

const startGateway = () => startFederation({ registration: REGISTRATION });

/** An event as a homeserver pushes it: with the room id, and with transient keys. */
const pushed = (event: Record<string, unknown>, room = ROOM) => ({
  ...event,
  room_id: room,
  user_id: event.sender,
  age: 5,
  unsigned: { age: 5 },
});

const receipts = (event: string, users: Record<string, unknown>, type = "m.read") => ({
  type: "m.receipt",
  room_id: ROOM,
  content: { [event]: { [type]: users } },
});

const transactions = suite("pushed transactions");

transactions("need the token of the homeserver, in the header or in the query", async () => {
  await using tidemark = await startGateway();
  const url = `${tidemark.httpUrl}${BASE}/transactions/1`;
  for (const [path, token, status, errcode] of [
    [url, null, 401, "M_UNAUTHORIZED"],
    [url, "another", 403, "M_FORBIDDEN"],
    [`${url}?access_token=another`, null, 403, "M_FORBIDDEN"],
    [url, HS_TOKEN, 200, undefined],
    [`${url}?access_token=${HS_TOKEN}`, null, 200, undefined],
  ] as const) {
    const answer = await call(path, "PUT", { events: [] }, token);
    assert.equal([answer.status, answer.body.errcode], [status, errcode]);
  }
  const ping = await call(`${tidemark.httpUrl}${BASE}/ping`, "POST", { transaction_id: "a" });
  assert.equal(ping, { status: 200, body: {} });
  for (const path of ["users/@a:here.example", "rooms/%23a:here.example"]) {
    const { status, body } = await call(`${tidemark.httpUrl}${BASE}/${path}`, "GET");
    assert.equal([status, body.errcode], [404, "M_NOT_FOUND"]);
    assert.is((await call(`${tidemark.httpUrl}${BASE}/${path}`, "GET", undefined, "no")).status, 403);
  }
});

transactions("are refused if no homeserver is registered", async () => {
  await using tidemark = await startFederation();
  assert.is((await push(tidemark, 1, { events: [] })).status, 404);
});

transactions("are answered once their events and receipts are stored, events first, in order", async () => {
  await using tidemark = await startGateway();
  const ids = ["$1", "$2", "$3"];
  const answer = await push(tidemark, 1, {
    ephemeral: [
      receipts("$3", { "@a:here.example": { ts: 7 }, "@b:there.example": { ts: 8, thread_id: "main" } }),
      receipts("$2", { "@a:here.example": { ts: 9 } }, "m.read.private"),
    ],
    events: ids.map((id) => pushed(message(id))),
  });
  assert.equal(answer, { status: 200, body: {} });
  const entries = await entriesOf(tidemark);
  assert.equal(
    entries.slice(0, 3).map(([kind, { event_id }]) => [kind, event_id]),
    ids.map((id) => [0, id]),
  );
  assert.equal(entries[0][1].unsigned, undefined, "transient keys are removed");
  assert.equal(entries.slice(3), [
    [2, "@a:here.example", "m.read", "$3", "?", 7, null],
    [2, "@b:there.example", "m.read", "$3", "main", 8, "there.example", true],
    [2, "@a:here.example", "m.read.private", "$2", "?", 9, null],
  ]);
});

transactions("with a receipt under both keys store it once, and ignore unknown types", async () => {
  await using tidemark = await startGateway();
  const ephemeral = [
    receipts("$1", { "@a:here.example": { ts: 7 } }),
    { type: "m.typing", room_id: ROOM, content: { user_ids: ["@a:here.example"] } },
    { type: "m.presence", sender: "@a:here.example", content: { presence: "online" } },
  ];
  const answer = await push(tidemark, 1, {
    events: [],
    ephemeral,
    "de.sorunome.msc2409.ephemeral": [...ephemeral, receipts("$1", { "@c:here.example": { ts: 7 } })],
    "de.sorunome.msc2409.to_device": [{ type: "m.dummy" }],
    "org.example.unknown": {},
  });
  assert.is(answer.status, 200);
  assert.equal(
    (await entriesOf(tidemark)).map(([, user]) => user),
    ["@a:here.example", "@c:here.example"],
  );
});

transactions("with malformed parts store the rest", async () => {
  await using tidemark = await startGateway();
  const deep = JSON.parse(`${'{"a":'.repeat(100)}1${"}".repeat(100)}`);
  const answer = await push(tidemark, 1, {
    events: [
      null,
      { ...pushed(message("$0")), room_id: undefined },
      pushed({ ...message("$1"), sender: "nobody" }),
      pushed({ ...message("$deep"), content: deep }),
      pushed({ ...message("$large"), content: { body: "x".repeat(70_000) } }),
      pushed({ ...message("$added"), unsigned: { prev_content: { body: "x".repeat(70_000) } } }),
      pushed(message("$2")),
    ],
    ephemeral: [
      null,
      { type: "m.receipt", room_id: "none", content: {} },
      { type: "m.receipt", room_id: ROOM, content: { $1: null, $2: { "m.read": 5 } } },
      receipts("$2", { nobody: { ts: 1 }, "@a:here.example": { thread_id: "none" }, "@b:here.example": { ts: 1 } }),
    ],
  });
  assert.is(answer.status, 200);
  const entries = await entriesOf(tidemark);
  assert.equal(
    entries.map(([, item, , event]) => item.event_id ?? `${item} ${event}`),
    ["$deep", "$large", "$added", "$2", "@b:here.example $2"],
  );
  // The event is an item of an array, and its content is in it.
  const kept = JSON.parse(`${'{"a":'.repeat(DEPTH_MAX - 3)}{}${"}".repeat(DEPTH_MAX - 3)}`);
  assert.equal(entries[0][1].content, kept, "only what is too deep is left out");
  assert.equal(entries[1][1].content, {});
  assert.equal(entries[2][1].content, message("$added").content);
});

transactions("with identifiers, times and values that only some servers accept store every event", async () => {
  await using tidemark = await startGateway();
  const odd = [
    { ...message("$sender"), sender: "@a b*>\u00a0:here.example" },
    { ...message("$key"), type: "ü".repeat(200), state_key: "é".repeat(150) },
    { ...message("$nulls"), state_key: null, redacts: null, unsigned: null },
    { ...message("$redacts"), redacts: "" },
    { ...message("$time"), origin_server_ts: 2 ** 60 },
    { ...message("$float"), origin_server_ts: 1.5, content: { n: 1e22, m: 0.1 } },
    { ...message("$fields"), origin_server_ts: "now", content: [], state_key: 5, unsigned: "none" },
    // Found by the long tier of `mutated-transactions`: the event was left out.
    { ...message("$long"), state_key: "k".repeat(256) },
  ];
  const events = odd.map((event) => ({ ...event, room_id: ROOM }));
  const text = JSON.stringify({ events }).replace('"m":0.1', '"m":0.1,"__proto__":{},"x":1e999,"t":"\\ud800"');
  assert.is((await push(tidemark, 1, `\ufeff\n${text}`)).status, 200);
  const stored = (await entriesOf(tidemark)).map(([, event]) => event);
  assert.equal(
    stored.map(({ event_id }) => event_id),
    odd.map(({ event_id }) => event_id),
  );
  const byId = Object.fromEntries(stored.map((event) => [event.event_id, event]));
  assert.is(byId.$key.state_key, "é".repeat(150));
  assert.equal(Object.keys(byId.$nulls).sort(), Object.keys({ ...message("$a"), room_id: ROOM }).sort());
  assert.is(byId.$time.origin_server_ts, Number.MAX_SAFE_INTEGER);
  assert.equal([byId.$float.origin_server_ts, byId.$float.content], [1, { n: 1e22, m: 0.1, t: "\ufffd" }]);
  assert.equal(byId.$fields.content, {});
  assert.is(byId.$long.state_key, undefined);
  const counts = await tidemark.metrics();
  for (const [reason, count] of Object.entries({ proto: 1, number: 1, text: 1, field: 5 })) {
    assert.match(counts, new RegExp(`^tidemark_pruned_values_total\\{reason="${reason}"\\} ${count}$`, "m"));
  }
});

transactions("are counted, with the events and receipts in them, those that are repeated once", async () => {
  await using tidemark = await startGateway();
  const body = {
    events: [pushed(message("$1")), pushed(message("$2")), { no: "event" }],
    ephemeral: [receipts("$1", { "@a:here.example": { ts: 1 } })],
  };
  const before = Date.now() / 1_000;
  for (const id of [1, 1, 2]) await push(tidemark, id, id === 2 ? { events: [] } : body);
  const counts = await tidemark.metrics();
  assert.match(counts, /^tidemark_transactions_total 3$/m);
  assert.match(counts, /^tidemark_pushed_total\{kind="event"\} 2$/m);
  assert.match(counts, /^tidemark_pushed_total\{kind="receipt"\} 1$/m);
  assert.ok(Number(/^tidemark_last_transaction_timestamp_seconds (.*)$/m.exec(counts)![1]) >= before);
});

transactions("of events that are larger in the log than as JSON are stored", async () => {
  await using tidemark = await startGateway();
  const events = ["$1", "$2", "$3", "$4"].map((id) => ({
    ...message(id),
    room_id: ROOM,
    content: { numbers: Array.from({ length: 15_500 }, () => 0.1) },
  }));
  assert.is((await push(tidemark, 1, { events })).status, 200);
  const stored = await entriesOf(tidemark);
  assert.equal(
    stored.map(([, { event_id, content }]) => [event_id, content.numbers.length]),
    events.map(({ event_id }) => [event_id, 15_500]),
  );
});

transactions("are stored once, on any gateway, also after a restart", async () => {
  await using tidemark = await startGateway();
  await using other = await tidemark.another({ roles: new Set(["gateway"]) });
  const body = { events: [pushed(message("$1"))], ephemeral: [receipts("$1", { "@a:here.example": { ts: 1 } })] };
  assert.is((await push(tidemark, "txn-1", body)).status, 200);
  const stored = (await entriesOf(tidemark)).length;
  const later = { ...body, events: [{ ...body.events[0], age: 90_000, unsigned: { age: 90_000 } }] };
  assert.is((await push(tidemark, "txn-1", body)).status, 200);
  assert.is((await push(other, "txn-1", later)).status, 200);
  await tidemark.restart();
  assert.is((await push(tidemark, "txn-1", later)).status, 200);
  assert.is((await entriesOf(tidemark)).length, stored);

  const another = { events: [pushed(message("$2"))] };
  assert.is((await push(tidemark, "txn-1", another)).status, 200, "a homeserver that restarts its transaction ids");
  assert.is((await entriesOf(tidemark)).length, stored + 1);
});

transactions("are not answered with 200 while the log is not reachable", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION, roles: new Set(["gateway", "worker"]) });
  const { status, body } = await push(tidemark, 1, { events: [pushed(message("$1"))] });
  assert.equal([status, body.errcode], [503, "M_UNKNOWN"]);
  await using _ingress = await tidemark.another({ roles: new Set(["ingress"]) });
  assert.is((await push(tidemark, 1, { events: [pushed(message("$1"))] })).status, 200);
  assert.is((await entriesOf(tidemark)).length, 1);
});

transactions("leave inferred markers, which are still inferred after a restart", async () => {
  await using tidemark = await startGateway();
  const user = "@a:here.example";
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  await push(tidemark, 1, {
    events: ["$1", "$2", "$3"].map((id) => pushed(message(id))),
    ephemeral: [receipts("$3", { [user]: { ts: 1 } })],
  });
  await client.next((body) => body.event.content.$3 !== undefined);
  await tidemark.restart();
  await tidemark.sent("receipt", ROOM, read(user, "$1", { thread_id: "main" }));
  await client.next((body) => body.event.content.$1?.["m.read"][user].thread_id === "main");
});

transactions("send no receipts to other servers, because the homeserver does", async () => {
  await using tidemark = await startGateway();
  const federation = tidemark.subscribe("tidemark.federation.>");
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  const members = ["@a:here.example", "@b:there.example", "@c:else.example"];
  await push(tidemark, 1, { events: [...members.map((user) => pushed(member(user))), pushed(message("$1"))] });
  await push(tidemark, 2, {
    events: [],
    ephemeral: [receipts("$1", Object.fromEntries(members.map((user) => [user, { ts: 1 }])))],
  });
  await client.next((body) => Object.keys(body.event.content.$1["m.read"]).includes("@c:else.example"));
  await tidemark.sent("receipt", ROOM, { user_id: "@d:here.example", receipt_type: "m.read", event_id: "$1" });
  const { body } = await federation.next();
  assert.equal(Object.keys(body.edu.content[ROOM]["m.read"]), ["@d:here.example"]);
});

transactions.run();
