/**
 * Identifiers that are malformed, and such as only look so (docs/design.md#requests, E11). A bad one is refused by the name of its
 * field.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Attack, json, ROOM, ROOM_REQUESTS, serves, subjectOf, withstood } from "../support/attacks.ts";
import { message, pack, receipt, startTidemark, token } from "../support/harness.ts";

const state = (more: Record<string, unknown>) => message("$1", { state_key: "", ...more });

/** Values that are invalid as an identifier of any kind. `s` is the sigil. */
const BAD_IDS: Readonly<Record<string, (sigil: string) => unknown>> = {
  __proto__: () => "__proto__",
  "a NUL": (s) => `${s}a\0:a.org`,
  "256 characters": (s) => `${s}${"漢".repeat(256 - 7)}:a.org`,
  nothing: () => "",
  "only a sigil": (s) => s,
  "another sigil": () => "#room:a.org",
  "a number": () => 7,
  "an object": () => ({ toString: "x" }),
  "an array": (s) => [`${s}a:a.org`],
};

const eduOf = (user: string, item: unknown) => ({ [ROOM]: { "m.read": { [user]: item } } });

/** Every field that contains an ID, with its kind of request, and a body with a given value in that field. */
const ID_FIELDS: readonly { kind: string; field: string; sigil: string; body: (id: unknown) => unknown }[] = [
  ...(["event", "history", "backfill", "state"] as const).flatMap((kind) => [
    { kind, field: "event_id", sigil: "$", body: (id: unknown) => state({ event_id: id }) },
    { kind, field: "sender", sigil: "@", body: (id: unknown) => state({ sender: id }) },
    { kind, field: "room_id", sigil: "!", body: (id: unknown) => state({ room_id: id }) },
  ]),
  { kind: "receipt", field: "user_id", sigil: "@", body: (id) => receipt("", "$1", { user_id: id }) },
  { kind: "receipt", field: "event_id", sigil: "$", body: (id) => receipt("@b:a.org", "", { event_id: id }) },
  { kind: "receipt", field: "thread_id", sigil: "$", body: (id) => receipt("@b:a.org", "$1", { thread_id: id }) },
  {
    kind: "receipt",
    field: "receipt_type",
    sigil: "m",
    body: (id) => receipt("@b:a.org", "$1", { receipt_type: id }),
  },
];

/** The same for an EDU, whose reply names the item. */
const EDU_FIELDS: readonly { field: string; sigil: string; body: (id: string) => unknown }[] = [
  { field: "room_id", sigil: "!", body: (id) => JSON.parse(`{${JSON.stringify(id)}:{"m.read":{"@u:a.org":{}}}}`) },
  { field: "user_id", sigil: "@", body: (id) => JSON.parse(`{"${ROOM}":{"m.read":{${JSON.stringify(id)}:{}}}}`) },
  { field: "event_ids", sigil: "$", body: (id) => eduOf("@u:a.org", { event_ids: [id], data: { ts: 1 } }) },
  {
    field: "data.thread_id",
    sigil: "$",
    body: (id) => eduOf("@u:a.org", { event_ids: ["$1"], data: { ts: 1, thread_id: id } }),
  },
];

const hostile = suite("hostile identifiers");

for (const [name, badId] of Object.entries(BAD_IDS)) {
  hostile(`${name} is refused in every field that contains an ID, with the field's name`, async () => {
    await using tidemark = await startTidemark();
    const attacks = ID_FIELDS.flatMap(({ kind, field, sigil, body }) => {
      const value = body(badId(sigil));
      const about = { name: `${kind} ${field}`, subject: subjectOf(kind), says: new RegExp(`^${field}: `) };
      return [
        { ...about, bytes: json(value) },
        { ...about, bytes: pack(value) },
        { ...about, bytes: pack([value]) },
      ];
    });
    await withstood(tidemark, attacks);
  });

  const id = badId("$");
  if (typeof id !== "string") continue;
  hostile(`${name} in an edu is dropped, with the field's name`, async () => {
    await using tidemark = await startTidemark();
    for (const { field, sigil, body } of EDU_FIELDS) {
      for (const encoding of ["msgpack", "json"] as const) {
        const id = String(badId(sigil));
        const asKey = field === "room_id" || field === "user_id";
        const value = body(id);
        const reply = await tidemark.send("edu", "a.org", value, { encoding });
        assert.is(reply.ok, true, `${field}: ${JSON.stringify(reply)}`);
        if (field === "data.thread_id" && id === "") {
          assert.match(reply.rejected[0].reason, "is not known here");
          continue;
        }
        assert.is(reply.accepted, 0, field);
        if (asKey && id === "__proto__") {
          assert.equal(reply.rejected, [], "it is pruned");
          continue;
        }
        assert.is(reply.rejected.length, 1, field);
        assert.match(reply.rejected[0].reason, new RegExp(`^${field}`));
        assert.ok(reply.rejected[0].room_id.length <= 255 && reply.rejected[0].user_id.length <= 255);
      }
    }
    assert.equal(await tidemark.lastSequences(), [1, 1]);
    await serves(tidemark);
  });
}

hostile("an invalid room or origin in the subject is refused by name", async () => {
  await using tidemark = await startTidemark();
  const rooms = ["room", "#room:a%2Eorg", "!", "!a%00", `!${"x".repeat(300)}`];
  const origins = ["%20", "a%20b", "%2A", "a%0D%0Ab", "@u:a%2Eorg", "a_b", "x".repeat(300), "a%2Eorg:999999"];
  const attack = (kind: string, target: string): Attack => ({
    name: `${kind} ${target}`,
    subject: `tidemark.in.${kind}.${target}`,
    bytes: json(kind === "receipt" ? receipt("@b:a.org", "$1") : kind === "edu" ? {} : state({})),
    says: kind === "edu" ? /^origin: / : /^room_id: /,
  });
  await withstood(tidemark, [
    ...ROOM_REQUESTS.flatMap((kind) => rooms.map((room) => attack(kind, room))),
    ...origins.map((origin) => attack("edu", origin)),
  ]);
});

hostile("a token that is not its room's canonical one is refused, so that a room has one subject", async () => {
  await using tidemark = await startTidemark();
  const tokens = [
    "!hostile%3Aa%2Eorg",
    "!hostile:a%2eorg",
    "!hostile:%61%2Eorg",
    "%21hostile:a%2Eorg",
    "!%41",
    "!%",
    "!%4",
    "!%C3",
    "!%FF",
    "!ü",
  ];
  await withstood(
    tidemark,
    tokens.flatMap((target) => [
      ...ROOM_REQUESTS.map((kind) => ({
        name: `${kind} ${target}`,
        subject: `tidemark.in.${kind}.${target}`,
        bytes: json(kind === "receipt" ? receipt("@b:a.org", "$1") : state({})),
        says: /^room_id: /,
      })),
      {
        name: `query ${target}`,
        subject: `tidemark.query.${target}`,
        bytes: json({ op: "snapshot" }),
        says: /^room_id: /,
      },
    ]),
  );
});

const LONGEST = "😀".repeat(254);

hostile("identifiers of any characters and of 1,020 bytes are served like any others", async () => {
  await using tidemark = await startTidemark();
  const users = [
    "@a b:a.org",
    "@a*:a.org",
    "@a>:a.org",
    "@a\u00a0b:a.org",
    `@${"😀".repeat(247)}:a.org`,
    "@x\r\ny:a.org",
  ];
  const rooms = ["!a b.*.>:a.org", `!${LONGEST}`, "!\r\nPUB x 0\r\n\r\n"];
  for (const room of rooms) {
    const client = tidemark.subscribe(`tidemark.client.*.${token(room)}.receipts`);
    const ids = users.map((_, i) => `$${i} ${LONGEST.slice(8)}`);
    const events = users.map((sender, i) => message(ids[i]!, { sender }));
    const odd = { type: "ü".repeat(200), state_key: "é".repeat(150), redacts: "", unsigned: null };
    await tidemark.sent("event", room, [...events, message("$odd", odd), message("$null", { state_key: null })]);
    for (const user of users) {
      const mine = tidemark.subscribe(`tidemark.user.*.${token(user)}.receipts`);
      await tidemark.sent("receipt", room, receipt(user, ids[0]!, { receipt_type: "m.read.private" }));
      assert.is((await mine.next()).body.user_id, user);
      await tidemark.sent("receipt", room, receipt(user, "$null", { thread_id: null }));
      await client.next((body) => body.event.content.$null?.["m.read"][user] !== undefined);
      assert.equal((await tidemark.query(room, { op: "read", user_id: user, event_ids: ["$odd"] })).read, {
        $odd: true,
      });
    }
    const { orders } = await tidemark.query(room, { op: "orders", event_ids: ids });
    for (const order of Object.values(orders)) assert.type(order, "number");
  }
});

hostile("an event may name things of any length and any characters, and its partition continues to serve", async () => {
  await using tidemark = await startTidemark();
  const long = `$${"x".repeat(10_000)}`;
  const odd = "\u0001".repeat(255);
  const events = [
    message("$relates", { content: { "m.relates_to": { rel_type: "m.thread", event_id: long } } }),
    message("$redacts", { type: "m.room.redaction", content: { redacts: long } }),
    message("$state", { type: odd, state_key: odd }),
  ];
  await tidemark.sent("event", ROOM, events);
  await tidemark.sent("state", ROOM, message("$other", { type: odd, state_key: "" }));
  const ids = ["$relates", "$redacts", "$state"];
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ids });
  for (const id of ids) assert.type(orders[id], "number", id);
  const { threads } = await tidemark.query(ROOM, { op: "threads", event_ids: ids });
  for (const id of ids) assert.is(threads[id], "main", id);
  await serves(tidemark);
});

hostile.run();
