/** Orders in a homeserver's answers: spliced into the bytes, compared with a naive function on parsed values. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Steps } from "../../src/in-slices.ts";
import { ALL_ORDER_NAMES, STABLE_ORDER, UNSTABLE_ORDER } from "../../src/matrix/order-names.ts";
import { EVENT_NESTING_MAX, orderPlaces } from "../../src/proxy/order-places.ts";
import { withOrders } from "../../src/proxy/order-splice.ts";
import type { Body } from "../support/harness.ts";
import { check } from "../support/property.ts";

const NAMES = [STABLE_ORDER, UNSTABLE_ORDER];
const ROOM = "!path:a.org";

/** Some events have an order, some a negative one, some none. */
function orderOf(room: string, eventId: string): number | undefined {
  const sum = [...Buffer.from(room + eventId)].reduce((a, b) => a + b, 0);
  return sum % 3 === 0 ? undefined : (sum % 3 === 1 ? 1 : -1) * sum;
}

const noOrders = () => undefined;

/** Does all steps at once. */
const whole = <T>(steps: Steps<T>): T => stepsOf(steps).result;

const placesIn = (json: Buffer, room: string | undefined) => whole(orderPlaces(json, room));

function spliced(text: string, orders = orderOf, room: string | undefined = ROOM): string {
  const json = Buffer.from(text);
  const places = placesIn(json, room);
  return places === undefined ? text : whole(withOrders(json, places, { orderOf: orders, names: NAMES })).toString();
}

const isObject = (value: Body): boolean => typeof value === "object" && value !== null && !Array.isArray(value);
const own = (value: Body, key: string): Body => (Object.hasOwn(value, key) ? value[key] : undefined);
const FOREIGN = ["content", "prev_content", "account_data", "to_device", "presence"];

function annotate(value: Body, room: string | undefined): void {
  if (Array.isArray(value)) for (const item of value) annotate(item, room);
  if (!isObject(value)) return;
  const here = typeof own(value, "room_id") === "string" ? value.room_id : room;
  const [id, type, sender, unsigned] = ["event_id", "type", "sender", "unsigned"].map((key) => own(value, key));
  const inUnsigned = () => {
    const inside = typeof own(unsigned, "room_id") === "string" ? unsigned.room_id : here;
    for (const key of ["redacted_because", "m.relations"]) annotate(own(unsigned, key), inside);
  };
  if ([id, type, sender].every((text) => typeof text === "string") && Object.hasOwn(value, "content")) {
    const order = here === undefined ? undefined : orderOf(here, id);
    if (isObject(unsigned)) inUnsigned();
    annotate(own(value, "redacted_because"), here);
    if (unsigned === undefined && order !== undefined) value.unsigned = {};
    if (isObject(value.unsigned)) put(value.unsigned, order);
    return;
  }
  const hasIds = Object.hasOwn(value, "event_id") || Object.hasOwn(value, "sender");
  if (type === "m.receipt" && isObject(own(value, "content")) && !hasIds) annotateReceipts(value.content, here);
  for (const [key, member] of Object.entries(value)) {
    if (FOREIGN.includes(key)) continue;
    if (key === "unsigned" && isObject(member)) inUnsigned();
    else annotate(member, key.startsWith("!") ? key : here);
  }
}

function annotateReceipts(content: Body, room: string | undefined): void {
  for (const [event, types] of Object.entries(content)) {
    const order = room === undefined ? undefined : orderOf(room, event);
    for (const users of objectsIn(types)) {
      for (const receipt of objectsIn(users)) put(receipt, order === undefined ? undefined : Math.max(0, order));
    }
  }
}

const objectsIn = (value: Body): Body[] => (isObject(value) ? Object.values(value).filter(isObject) : []);

function put(object: Body, order: number | undefined): void {
  for (const name of NAMES) {
    if (order === undefined) delete object[name];
    else object[name] = order;
  }
}

/* JSON as text: with spaces, keys written with escapes, duplicate keys, and numbers in every form. */

const space = fc.constantFrom("", "", "", " ", "\n\t ");
const spaced = (text: fc.Arbitrary<string>) => fc.tuple(space, text, space).map((parts) => parts.join(""));
const written = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.nat(40)).map(([name, at]) => {
    const units = [...name];
    const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return `"${units.map((unit, i) => (i === at && unit.length === 1 ? escaped(unit) : JSON.stringify(unit).slice(1, -1))).join("")}"`;
  });
const eventIds = written(fc.constantFrom("$a", "$b:x", "$c/d", '$"', "$ü"));
const KEYS = [
  ...["event_id", "type", "sender", "content", "unsigned", "room_id", "prev_content", "account_data", "to_device"],
  ...["redacted_because", "m.relations", "timeline", "events", "!room:a", "!b", "presence", "__proto__", ...NAMES],
];
const keys = written(fc.oneof(fc.constantFrom(...KEYS), fc.string({ unit: "grapheme", maxLength: 5 })));
const scalars = fc.oneof(
  fc.constantFrom("0", "-0", "1.0", "1e5", "1E+400", "12345678901234567890", "0.10", "true", "false", "null"),
  written(fc.constantFrom("m.receipt", "$a", "!b", "@u:x", '}]"', "\\", "")),
);
const object = (members: fc.Arbitrary<[key: string, value: string][]>) =>
  members.map((list) => `{${list.map(([key, value]) => `${key}:${value}`).join(",")}}`);
const members = (value: fc.Arbitrary<string>, key = keys) =>
  fc.array(fc.tuple(spaced(key), spaced(value)) as fc.Arbitrary<[string, string]>, { maxLength: 4 });
const shuffled = (...parts: fc.Arbitrary<[string, string][]>[]) =>
  fc.tuple(...parts).chain((lists) => {
    const all = lists.flat();
    return fc.shuffledSubarray(all, { minLength: all.length });
  });
const member = (name: string, value: fc.Arbitrary<string>) =>
  fc.tuple(written(fc.constant(name)), spaced(value)).map((each): [string, string][] => [each]);
const some = (part: fc.Arbitrary<[string, string][]>): fc.Arbitrary<[string, string][]> =>
  fc.tuple(part, fc.nat(3)).map(([list, left]) => (left === 0 ? [] : list));

const { value } = fc.letrec<{ value: string; event: string; unsigned: string; receipts: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalars,
    object(members(tie("value"))),
    fc.array(spaced(tie("value")), { maxLength: 3 }).map((items) => `[${items.join(",")}]`),
    tie("event"),
    tie("receipts"),
  ),
  event: object(
    shuffled(
      member("event_id", eventIds),
      member("type", written(fc.constantFrom("m.room.message", "m.receipt"))),
      member("sender", written(fc.constant("@u:a"))),
      member("content", tie("value")),
      some(member("unsigned", tie("unsigned"))),
      some(member("room_id", written(fc.constantFrom("!room:a", "!b")))),
      members(tie("value")),
    ),
  ),
  unsigned: fc.oneof(
    {
      weight: 5,
      arbitrary: object(
        members(tie("value"), written(fc.constantFrom("age", "m.relations", "redacted_because", ...NAMES))),
      ),
    },
    tie("value"),
  ),
  receipts: object(
    shuffled(
      member("type", fc.constant('"m.receipt"')),
      member(
        "content",
        object(
          members(
            object(members(object(members(object(members(scalars, written(fc.constantFrom("ts", ...NAMES)))))))),
            eventIds,
          ),
        ),
      ),
      some(member("room_id", written(fc.constantFrom("!room:a", "!b")))),
    ),
  ),
}));

const splice = suite("orders in an answer");

splice("are those that a naive function puts into the parsed answer, whatever the JSON", () => {
  check(
    fc.property(spaced(value), (text) => {
      const expected = JSON.parse(text);
      annotate(expected, ROOM);
      assert.equal(JSON.parse(spliced(text)), expected);
    }),
    { numRuns: 400 },
  );
});

splice("are all that is put in: without them, the bytes are those that came", () => {
  const unescaped = (text: string) =>
    text.replace(/\\u00(..)/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
  check(
    fc.property(spaced(value), (text) => {
      const plain = unescaped(text);
      fc.pre(!NAMES.some((name) => plain.includes(`"${name}"`)) && !/"unsigned"\s*:\s*\{\s*\}/.test(plain));
      assert.is(withoutOrders(spliced(text)), withoutOrders(text));
    }),
    { numRuns: 400 },
  );
});

/** Nothing else in the texts above looks like what is put in. */
function withoutOrders(text: string): string {
  const put = String.raw`"order":-?\d+,"org\.matrix\.msc4033\.order":-?\d+`;
  return text
    .replace(new RegExp(String.raw`"unsigned":\{${put}\},?`, "g"), "")
    .replace(new RegExp(`${put},?`, "g"), "");
}

splice("of strangers are cut out where Tidemark has none, under both names, and nothing else changes", () => {
  const event = (unsigned: string) =>
    `{"event_id":"$e","type":"t","sender":"@u:a","content":{"order":1},"order":2,"unsigned":${unsigned}}`;
  for (const [foreign, clean] of [
    ['{"order":5}', "{}"],
    ['{ "order": 5 }', "{ }"],
    ['{"order":5,"age":1.0}', '{"age":1.0}'],
    ['{"age":1e2 , "order" : {"order":[1]}}', '{"age":1e2}'],
    ['{"\\u006frder":5,"org.matrix.msc4033.order":"6","a":{"order":7},"order":8}', '{"a":{"order":7}}'],
    ['{"a":1,"order":5,"b":2,"order":6,"c":3}', '{"a":1,"b":2,"c":3}'],
    ["null", "null"],
    ["[]", "[]"],
  ] as const) {
    assert.is(spliced(event(foreign), noOrders), event(clean));
  }
  const receipt = (data: string) => `{"type":"m.receipt","content":{"$e":{"m.read":{"@u:a":${data}}}}}`;
  assert.is(spliced(receipt('{"ts":1,"order":2}'), noOrders), receipt('{"ts":1}'));
});

splice("replace those of strangers", () => {
  const event = (unsigned: string) =>
    `{"event_id":"$e","type":"t","sender":"@u:a","content":{},"unsigned":${unsigned}}`;
  assert.is(
    spliced(event('{"order":5,"age":1}'), () => 17),
    event('{"order":17,"org.matrix.msc4033.order":17,"age":1}'),
  );
  assert.is(
    spliced(event('{"order":5}'), () => 17),
    event('{"order":17,"org.matrix.msc4033.order":17}'),
  );
});

splice("are found in the room that an event, what is around it, or the path says", () => {
  const event = (id: string, more = "") => `{"event_id":"${id}","type":"t","sender":"@u:a","content":{}${more}}`;
  const rooms = (text: string) =>
    Object.fromEntries(placesIn(Buffer.from(text), "!path")!.map(({ eventId, room }) => [eventId, room]));
  const text = `{"chunk":[${event("$path")}],"rooms":{"join":{"!key":{"timeline":{"events":[${event("$key")}]}}}},
    "initial":[{"messages":[${event("$after")},${event("$own", ',"room_id":"!own"')}],"room_id":"!after"}],
    "content":[${event("$never")}]}`;
  assert.equal(rooms(text), { $path: "!path", $key: "!key", $after: "!after", $own: "!own" });
});

splice("are for the events of a timeline first, not for what these carry", () => {
  const inner = `{"event_id":"$inner","type":"t","sender":"@u:a","content":{}}`;
  const event = `{"event_id":"$e","type":"t","sender":"@u:a","content":{},"unsigned":{"redacted_because":${inner}}}`;
  const places = placesIn(Buffer.from(`{"timeline":[${event}],"required_state":[${inner}]}`), undefined)!;
  assert.equal(
    places.map(({ eventId, isTimeline }) => [eventId, isTimeline]),
    [
      ["$inner", false],
      ["$e", true],
      ["$inner", false],
    ],
  );
});

splice("are in the redaction that an older form of an event carries beside its unsigned", () => {
  const event = (more: string) => `{"event_id":"$e","type":"t","sender":"@u:a","content":{}${more}}`;
  const places = (json: string) => placesIn(Buffer.from(json), ROOM)!.map(({ isTimeline }) => isTimeline);
  assert.equal(places(`{"timeline":[${event(`,"redacted_because":${event("")}`)}]}`), [false, true]);
  assert.equal(places(event(`,"redacted_because":${event("")},"redacted_because":null`)), [false]);
  assert.equal(places(event(`,"something":${event("")}`)), [false]);
});

const ANSWER = `{"next_batch":"s1","rooms":{"join":{"!r:a":{"timeline":{"events":[{"event_id":"$\\u00e9\\n","type":"t","sender":"@u:a",
  "content":{"body":"ü\\"}"},"unsigned":{"age":1.50,"order":3}}]},"ephemeral":{"events":[{"type":"m.receipt",
  "content":{"$e":{"m.read":{"@u:a":{"ts":1}}}}}]}}}}}`;

splice("are not put into an answer that is cut off, at whatever byte", () => {
  const json = Buffer.from(ANSWER);
  assert.is(placesIn(json, undefined)!.length, 2);
  for (let end = 0; end < json.length; end++) assert.is(placesIn(json.subarray(0, end), undefined), undefined);
});

splice("do not fail on bytes that are no JSON", () => {
  const json = Buffer.from(ANSWER);
  check(
    fc.property(fc.nat(json.length - 1), fc.nat(255), fc.nat(json.length), (at, byte, cut) => {
      const mutated = Buffer.concat([json.subarray(0, at), Buffer.of(byte), json.subarray(cut)]);
      const places = placesIn(mutated, ROOM);
      if (places !== undefined) whole(withOrders(mutated, places, { orderOf, names: NAMES }));
    }),
    { numRuns: 400 },
  );
  for (const text of [
    "",
    " ",
    "{",
    "[1,]",
    "{,}",
    '{"a"}',
    '{"a":}',
    "]",
    "[}",
    "1 2",
    '"',
    '"\\',
    "{1:2}",
    "[1 2]",
    "x:",
  ]) {
    assert.is(placesIn(Buffer.from(text), ROOM), undefined, text);
  }
});

splice("of a large answer are found and put in by many steps, receipts included", () => {
  const many = (count: number, each: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => each(i)).join(",");
  const events = `[${many(20_000, (i) => `{"event_id":"$${i}","type":"t","sender":"@u:a","content":{}}`)}]`;
  const receipts = `{"type":"m.receipt","content":{${many(20_000, (i) => `"$${i}":{"m.read":{"@u:a":{"ts":1}}}`)}}}`;
  for (const text of [events, receipts]) {
    const json = Buffer.from(text);
    const finding = stepsOf(orderPlaces(json, ROOM));
    assert.is(finding.result?.length, 20_000);
    assert.ok(finding.count > json.length / 16_384 + 20_000 / 256 - 2, `${finding.count}`);
    const putting = stepsOf(withOrders(json, finding.result!, { orderOf, names: NAMES }));
    assert.ok(putting.count > 20_000 / 256, `${putting.count}`);
  }
});

function stepsOf<T>(steps: Steps<T>): { readonly result: T; readonly count: number } {
  for (let count = 0; ; count++) {
    const step = steps.next();
    if (step.done) return { result: step.value, count };
  }
}

splice("are not looked for too deep, and depth exhausts nothing", () => {
  const event = `{"event_id":"$e","type":"t","sender":"@u:a","content":{}}`;
  const nested = (depth: number) => "[".repeat(depth) + event + "]".repeat(depth);
  const count = (text: string) => placesIn(Buffer.from(text), ROOM)?.length;
  assert.is(count(nested(EVENT_NESTING_MAX - 1)), 1);
  assert.is(count(nested(EVENT_NESTING_MAX)), 0);
  assert.is(count(nested(1_000_000)), 0);
  assert.is(count("[".repeat(1_000_000)), undefined);
});

splice("have no name that is looked for and not written", () => {
  assert.equal([...ALL_ORDER_NAMES], NAMES);
});

splice.run();
