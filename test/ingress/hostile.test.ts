/**
 * Malformed and malicious requests (docs/design.md#the-bus-contract, E11). Each is answered with an error that names
 * the field if there is one, and has no stack. Nothing of it is in any log, and the process continues to serve.
 */
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type Body,
  decoded,
  message,
  pack,
  receipt,
  startTidemark,
  type TidemarkHarness,
  token,
} from "../support/harness.ts";
import { checkAsync } from "../support/property.ts";

const ROOM = "!hostile:a.org";
const ROOM_REQUESTS = ["event", "history", "backfill", "state", "receipt"] as const;

interface Attack {
  readonly name: string;
  /** The whole subject. */
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly errcode?: string;
  /** What the error must match, mostly a field's name. Default: any text. */
  readonly says?: RegExp;
}

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

const state = (more: Record<string, unknown>) => message("$1", { state_key: "", ...more });
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

function subjectOf(kind: string): string {
  return `tidemark.in.${kind}.${token(kind === "edu" ? "a.org" : ROOM)}`;
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** A value nested so deeply that a careless decoder overflows its stack. */
function nested(depth: number, open: string, close: string): Uint8Array {
  return Buffer.from(open.repeat(depth) + close.repeat(depth));
}

/** An event whose content has one value, given as MessagePack. */
function eventWith(value: Uint8Array): Uint8Array {
  const marker = "put it here";
  const event = Buffer.from(pack(message("$1", { content: { key: marker } })));
  const at = event.indexOf(Buffer.from(pack(marker)));
  return Buffer.concat([event.subarray(0, at), value, event.subarray(at + pack(marker).length)]);
}

async function withstood(tidemark: TidemarkHarness, attacks: readonly Attack[]): Promise<void> {
  const before = await tidemark.lastSequences();
  for (const { name, subject, bytes, errcode = "M_INVALID_PARAM", says = /./ } of attacks) {
    const raw = await tidemark.request(subject, bytes);
    const reply = decoded(raw);
    assert.is(reply.ok, false, `${name}: ${JSON.stringify(reply)}`);
    assert.is(reply.errcode, errcode, `${name}: ${reply.error}`);
    assert.match(reply.error, says, name);
    withoutStack(raw, name);
  }
  assert.equal(await tidemark.lastSequences(), before, "nothing is in any log");
  await serves(tidemark);
}

function withoutStack(raw: Uint8Array, name: string): void {
  const text = Buffer.from(raw).toString("latin1");
  assert.not.match(text, /\n\s+at |node_modules|\.ts:\d|\.js:\d|file:\/\//, `${name}: no stack`);
}

/** Asserts that Tidemark still accepts an event in another room, publishes it, and is ready. */
async function serves(tidemark: TidemarkHarness): Promise<void> {
  const room = `!serves${Math.random().toString(36).slice(2)}:a.org`;
  const events = tidemark.subscribe(`tidemark.client.*.${token(room)}.events`);
  await tidemark.sent("event", room, message("$alive"));
  assert.is((await events.next()).body.events[0].event_id, "$alive");
  assert.is((await fetch(`${tidemark.httpUrl}/readyz`)).status, 200);
}

/** How many values of events were pruned, for whatever reason. */
async function prunedValues(tidemark: TidemarkHarness): Promise<number> {
  const text = await tidemark.metrics();
  const counts = text.matchAll(/^tidemark_pruned_values_total\{.*\} (\d+)$/gm);
  return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
}

const hostile = suite("hostile input");

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

hostile("a request of more than half a MiB is refused before it is decoded", async () => {
  await using tidemark = await startTidemark();
  const size = 524_288 + 1;
  await withstood(
    tidemark,
    [...ROOM_REQUESTS, "edu"].flatMap((kind) => [
      { name: kind, subject: subjectOf(kind), bytes: Buffer.alloc(size, "["), errcode: "M_TOO_LARGE" },
      { name: kind, subject: subjectOf(kind), bytes: Buffer.alloc(size, 0x91), errcode: "M_TOO_LARGE" },
    ]),
  );
});

hostile("an event of 65 537 bytes as JSON has its place without content, and one of 65 536 with it", async () => {
  await using tidemark = await startTidemark();
  const sized = (bytes: number, char = "x") => {
    const event = message("$1", { state_key: "", content: { body: "" } });
    const fill = bytes - Buffer.byteLength(JSON.stringify(event));
    return { ...event, content: { body: char.repeat(Math.floor(fill / (JSON.stringify(char).length - 2))) } };
  };
  for (const kind of ["event", "history", "backfill", "state"] as const) {
    // As MessagePack a control character is one byte, as JSON six.
    for (const event of [sized(65_537), sized(65_600, "\u0001"), sized(65_536)]) await tidemark.sent(kind, ROOM, event);
  }
  const stored = (await Promise.all([0, 1].map((partition) => tidemark.records(partition)))).flat();
  assert.equal(
    stored.flatMap(({ entries }) => entries.map(([, event]: Body) => Object.keys(event.content))),
    Array.from({ length: 4 }, () => [[], [], ["body"]]).flat(),
  );
  assert.is(await prunedValues(tidemark), 8);
});

hostile("nesting deeper than 64 is refused in both encodings, at any depth", async () => {
  await using tidemark = await startTidemark();
  const depths = [65, 5_000, 250_000];
  const bodies = [
    ...depths.map((depth) => nested(depth, "[", "]")),
    ...depths.map((depth) => Buffer.concat([Buffer.alloc(depth, 0x91), Buffer.from([0xc0])])),
    nested(15_000, '{"":', "}").subarray(0, 70_000), // truncated
  ];
  await withstood(
    tidemark,
    [...ROOM_REQUESTS, "edu"].flatMap((kind) =>
      bodies.map((bytes, i) => ({ name: `${kind} ${i}`, subject: subjectOf(kind), bytes, errcode: "M_BAD_JSON" })),
    ),
  );
});

hostile("malformed MessagePack, and unsupported values in it, are refused", async () => {
  await using tidemark = await startTidemark();
  const records = new Packr({ useRecords: true, structures: [] });
  const values: Record<string, Uint8Array> = {
    "a fixed extension": Buffer.from([0xd4, 0x00, 0x00]),
    "an extension of 8 bits": Buffer.from([0xc7, 0x01, 0x05, 0x00]),
    "an extension of 32 bits": Buffer.from([0xc9, 0, 0, 0, 1, 0x05, 0]),
    "a timestamp": pack(new Date(1_700_000_000_000)),
    undefined: new Packr().pack(undefined),
    "a set": new Packr({ moreTypes: true }).pack(new Set([1])),
    "an error": new Packr({ moreTypes: true }).pack(new Error("x")),
    "a regular expression": new Packr({ moreTypes: true }).pack(/x/),
    "a record definition": records.pack({ one: 1, two: 2 }),
    "binary data": pack(Buffer.from("abc")),
    "the token that is never used": Buffer.from([0xc1]),
    "a map with an integer key": Buffer.from([0x81, 0x01, 0x01]),
    "a map with a nil key": Buffer.from([0x81, 0xc0, 0x01]),
    "a string that ends too early": Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff]),
    "an array of four thousand millions": Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
  };
  await withstood(
    tidemark,
    Object.entries(values).flatMap(([name, value]) => [
      { name: `${name} inside`, subject: subjectOf("event"), bytes: eventWith(value), errcode: "M_BAD_JSON" },
      ...[...ROOM_REQUESTS, "edu"].map((kind) => ({
        name: `${name} alone on ${kind}`,
        subject: subjectOf(kind),
        bytes: value,
        errcode: "M_BAD_JSON",
      })),
    ]),
  );
});

hostile("a value that can't be carried is refused alone, and goes alone inside an event", async () => {
  await using tidemark = await startTidemark();
  const values: Record<string, Uint8Array> = {
    NaN: Buffer.from([0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
    infinity: pack(Number.POSITIVE_INFINITY),
    "a map with __proto__": Buffer.concat([Buffer.from([0x81]), pack("__proto__"), Buffer.from([0x80])]),
    "a deep map": Buffer.concat([Buffer.alloc(15_000 * 2, Buffer.from([0x81, 0xa0])), Buffer.from([0xc0])]),
  };
  await withstood(
    tidemark,
    Object.entries(values).flatMap(([name, value]) => [
      ...[...ROOM_REQUESTS, "edu"].map((kind) => ({
        name: `${name} alone on ${kind}`,
        subject: subjectOf(kind),
        bytes: Buffer.concat([Buffer.from([0x91]), value]),
        // A map is an event, which has no id.
        errcode: /map/.test(name) && kind !== "receipt" ? "M_INVALID_PARAM" : "M_BAD_JSON",
      })),
      { name: `${name} in a receipt`, subject: subjectOf("receipt"), bytes: eventWith(value), errcode: "M_BAD_JSON" },
    ]),
  );
  const before = await prunedValues(tidemark);
  for (const value of [...Object.values(values), pack(2n ** 64n - 1n), pack(-(2n ** 62n)), pack(1e22)]) {
    const raw = await tidemark.request(subjectOf("event"), eventWith(value));
    assert.is(decoded(raw).ok, true, JSON.stringify(decoded(raw)));
  }
  for (const content of ['{"n":18446744073709551616}', '{"n":1e999}', '{"__proto__":{"x":1}}', '{"a":["\\ud800"]}']) {
    const bytes = Buffer.from(JSON.stringify(message("$1")).replace(/"content":\{[^}]*\}/, `"content":${content}`));
    assert.is(decoded(await tidemark.request(subjectOf("event"), bytes)).ok, true, content);
  }
  assert.is((await prunedValues(tidemark)) - before, Object.keys(values).length + 3);
});

hostile("an event keeps its meaning when one of its values is pruned", async () => {
  await using tidemark = await startTidemark();
  const send = (text: string) => tidemark.request(subjectOf("event"), Buffer.from(text));
  const base = (id: string) => `"event_id":"${id}","sender":"@a:a.org","origin_server_ts":1`;
  for (const text of [
    `{${base("$acl")},"type":"m.room.server_acl","state_key":"","content":{"allow":["*"],"n":1e999}}`,
    `{${base("$join")},"type":"m.room.member","state_key":"@u:b.org","content":{"membership":"join","__proto__":{}}}`,
    `{${base("$root")},"type":"m.room.message","content":{"n":1e22}}`,
    `{${base("$reply")},"type":"m.room.message","content":{"n":1e999,"m.relates_to":{"rel_type":"m.thread","event_id":"$root"}}}`,
  ]) {
    assert.is(decoded(await send(text)).ok, true, text);
  }
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  const item = { event_ids: ["$reply"], data: { ts: 1, thread_id: "$root" } };
  const edu = await tidemark.send("edu", "b.org", { [ROOM]: { "m.read": { "@u:b.org": item } } });
  assert.is(edu.accepted, 1);
  await client.next((body) => body.event.content.$reply?.["m.read"]["@u:b.org"].thread_id === "$root");
  const { event } = await tidemark.query(ROOM, { op: "event", event_id: "$root" });
  assert.equal(event.content, { n: 1e22 });
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

hostile("JSON with NaN or invalid UTF-8 is refused", async () => {
  await using tidemark = await startTidemark();
  const inEvent = (content: string) =>
    Buffer.from(JSON.stringify(message("$1")).replace(/"content":\{[^}]*\}/, `"content":${content}`));
  const contents = ['{"n":NaN}', '{"n":0x1}', '{"a":[1,]}'];
  await withstood(tidemark, [
    ...contents.map((content) => ({
      name: content,
      subject: subjectOf("event"),
      bytes: inEvent(content),
      errcode: "M_BAD_JSON",
    })),
    { name: "latin1", subject: subjectOf("event"), bytes: Buffer.from('{"ü":1}', "latin1"), errcode: "M_BAD_JSON" },
  ]);
});

hostile("times that aren't numbers are refused by field", async () => {
  await using tidemark = await startTidemark();
  const times = ["5", true, {}, []];
  await withstood(
    tidemark,
    times.flatMap((time) => [
      {
        name: "ts",
        subject: subjectOf("receipt"),
        bytes: json(receipt("@b:a.org", "$1", { ts: time })),
        says: /^ts: /,
      },
      {
        name: "origin_server_ts",
        subject: subjectOf("event"),
        bytes: pack(message("$1", { origin_server_ts: time })),
        says: /^origin_server_ts: /,
      },
    ]),
  );
});

hostile("an empty message, and values of the wrong kind, are refused", async () => {
  await using tidemark = await startTidemark();
  const values = [null, true, 5, "text", [[]], [null], [5]];
  await withstood(
    tidemark,
    [...ROOM_REQUESTS, "edu"].flatMap((kind): Attack[] => [
      { name: `${kind} empty`, subject: subjectOf(kind), bytes: new Uint8Array(), errcode: "M_BAD_JSON" },
      ...values.map((value) => ({ name: `${kind} ${value}`, subject: subjectOf(kind), bytes: pack(value) })),
    ]),
  );
});

hostile("any name in event content is plain data", async () => {
  await using tidemark = await startTidemark();
  const content = { constructor: 1, toString: "x", hasOwnProperty: null, toJSON: 5, length: -1 };
  const events = tidemark.subscribe("tidemark.client.>");
  await tidemark.sent("event", ROOM, message("$toString", { content, type: "constructor" }));
  await tidemark.sent("event", ROOM, message("$redact", { type: "m.room.redaction", redacts: "$toString" }));
  await events.next((body) => body.events?.some((event: Body) => event.event_id === "$redact"));
  assert.equal(events.messages[0]?.body.events[0].content, content);
  const { event } = await tidemark.query(ROOM, { op: "event", event_id: "$toString" });
  assert.equal(event.content, {});
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

hostile("random bytes on every subject get an error, or are a valid request", async () => {
  await using tidemark = await startTidemark();
  const event = pack(message("$1", { state_key: "" }));
  const subjects = [...[...ROOM_REQUESTS, "edu"].map(subjectOf), `tidemark.query.${token(ROOM)}`];
  const damaged = fc
    .array(fc.tuple(fc.nat(event.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const bytes = Uint8Array.from(event);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes;
    });
  await checkAsync(
    fc.asyncProperty(
      fc.constantFrom(...subjects),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        damaged,
        fc.json().map((text) => Buffer.from(text)),
      ),
      async (subject, bytes) => {
        const raw = await tidemark.request(subject, bytes);
        const reply = decoded(raw);
        assert.type(reply.ok, "boolean");
        if (!reply.ok) assert.ok(["M_BAD_JSON", "M_INVALID_PARAM"].includes(reply.errcode), JSON.stringify(reply));
        withoutStack(raw, Buffer.from(bytes).toString("hex"));
      },
    ),
    { numRuns: 400 },
  );
  await serves(tidemark);
});

hostile("invalid queries get an error that names what is wrong", async () => {
  await using tidemark = await startTidemark();
  const subject = `tidemark.query.${token(ROOM)}`;
  const bad = [
    { body: {}, says: /^op: / },
    { body: { op: "drop" }, says: /^op: / },
    { body: { op: "__proto__" }, says: /^op: / },
    { body: { op: "snapshot", user_id: "bob" }, says: /^user_id: / },
    { body: { op: "snapshot", timeline_limit: -1 }, says: /^timeline_limit: / },
    { body: { op: "snapshot", timeline_limit: 1.5 }, says: /^timeline_limit: / },
    { body: { op: "orders" }, says: /^event_ids: / },
    { body: { op: "orders", event_ids: "$1" }, says: /^event_ids: / },
    { body: { op: "orders", event_ids: ["$1", "a b"] }, says: /^event_ids\.1: / },
    { body: { op: "orders", event_ids: Array(1_025).fill("$1") }, says: /^event_ids: / },
    { body: { op: "event" }, says: /^event_id: / },
    { body: { op: "read", event_ids: [] }, says: /^user_id: / },
    { body: { op: "unread", user_id: "@b" }, says: /^user_id: / },
  ];
  await withstood(tidemark, [
    ...bad.flatMap(({ body, says }) => [
      { name: JSON.stringify(body), subject, bytes: json(body), says },
      { name: JSON.stringify(body), subject, bytes: pack(body), says },
    ]),
    ...[[], null, "snapshot", 5].map((value) => ({ name: `${value}`, subject, bytes: pack(value), says: /^[^:]/ })),
    { name: "oversized", subject, bytes: Buffer.alloc(524_289, "["), errcode: "M_TOO_LARGE" },
    { name: "deep", subject, bytes: nested(5_000, "[", "]"), errcode: "M_BAD_JSON" },
    { name: "empty", subject, bytes: new Uint8Array(), errcode: "M_BAD_JSON" },
  ]);
});

hostile.run();
