import { suite } from "uvu";
import * as assert from "uvu/assert";
import { matrixEvent, redacted, withOrder } from "../../src/matrix/event.ts";
import { event } from "../support/entries.ts";

const EVENT = {
  event_id: "$a",
  type: "m.room.message",
  sender: "@a:example.org",
  origin_server_ts: 1_700_000_000_000,
  content: { body: "hello" },
};

/** `field: reason` of the first fault. */
function fault(value: unknown): string {
  const [issue] = matrixEvent.safeParse(value).error?.issues ?? [];
  return issue === undefined ? "accepted" : `${issue.path.join(".")}: ${issue.message}`;
}

const schema = suite("event schema");

schema("accepts an event, with every key it may have", () => {
  assert.equal(matrixEvent.parse(EVENT), EVENT);
  const full = { ...EVENT, state_key: "", redacts: "$b", unsigned: { age: 1 }, room_id: "!a:example.org" };
  assert.equal(matrixEvent.parse(full), full);
});

schema("drops other keys", () => {
  assert.equal(matrixEvent.parse({ ...EVENT, signatures: {}, depth: 7 }), EVENT);
});

schema("does not change content", () => {
  const content = { deep: [{ a: null, constructor: 1 }], "": 1.5 };
  assert.equal(matrixEvent.parse({ ...EVENT, content }).content, content);
});

schema("accepts any number as a timestamp, rounds it down and clamps it", () => {
  const max = Number.MAX_SAFE_INTEGER;
  for (const [sent, stored] of [
    [0, 0],
    [max, max],
    [1.9, 1],
    [0.5, 0],
    [-1, 0],
    [-0.5, 0],
    [2 ** 60, max],
    [1e300, max],
    [Number.POSITIVE_INFINITY, max],
    [Number.NEGATIVE_INFINITY, 0],
    [Number.NaN, 0],
  ] as const) {
    assert.is(matrixEvent.parse({ ...EVENT, origin_server_ts: sent }).origin_server_ts, stored);
  }
});

schema("takes null for an optional key, and what redacts no event, as absent", () => {
  const nulls = { state_key: null, redacts: null, unsigned: null, room_id: null };
  assert.equal(matrixEvent.parse({ ...EVENT, ...nulls }), EVENT);
  for (const redacts of ["", "b", "@a:b", 7, {}, [], "$\ud800"]) {
    assert.equal(matrixEvent.parse({ ...EVENT, redacts }), EVENT);
  }
});

schema("accepts any type and state key of 255 characters, and makes them well-formed", () => {
  for (const text of ["", "é".repeat(150), "ü".repeat(200), "😀".repeat(255), "\0\n\u001b", "__proto__"]) {
    const event = { ...EVENT, type: text, state_key: text };
    assert.equal(matrixEvent.parse(event), event);
  }
  assert.equal(matrixEvent.parse({ ...EVENT, type: "a\ud800", state_key: "\udc00" }), {
    ...EVENT,
    type: "a\ufffd",
    state_key: "\ufffd",
  });
});

schema("refuses values that are not objects", () => {
  for (const value of [null, 7, "event", [], true]) assert.is(fault(value), ": must be an event (an object)");
});

for (const field of Object.keys(EVENT)) {
  schema(`names the field if ${field} is missing`, () => {
    const { [field as keyof typeof EVENT]: _, ...rest } = EVENT;
    assert.match(fault(rest), new RegExp(`^${field}: must be `));
  });
}

const FAULTS: readonly (readonly [Record<string, unknown>, string])[] = [
  [{ event_id: "a" }, "event_id: must be an event id ($opaque or $opaque:server"],
  [{ type: 7 }, "type: must be an event type"],
  [{ event_id: "$\ud800" }, "event_id: must be an event id"],
  [{ type: "é".repeat(256) }, "type: must be at most 255 characters"],
  [{ sender: "a" }, "sender: must be a user id"],
  [{ origin_server_ts: "now" }, "origin_server_ts: must be a number of milliseconds"],
  [{ origin_server_ts: null }, "origin_server_ts: must be a number of milliseconds"],
  [{ content: [] }, "content: must be an object"],
  [{ content: null }, "content: must be an object"],
  [{ content: "text" }, "content: must be an object"],
  [{ state_key: 5 }, "state_key: must be a state key"],
  [{ state_key: "a".repeat(256) }, "state_key: must be at most 255 characters"],
  [{ unsigned: [] }, "unsigned: must be an object"],
  [{ room_id: "a" }, "room_id: must be a room id"],
];

schema("names the field and the reason", () => {
  for (const [fields, expected] of FAULTS) {
    const actual = fault({ ...EVENT, ...fields });
    assert.ok(actual.startsWith(expected), `${actual} is not ${expected}`);
  }
});

const order = suite("an event with its order");

order("has it in unsigned, next to other keys, and the original event is unchanged", () => {
  const before = event("$a", { unsigned: { age: 5, order: "forged" } });
  const after = withOrder(before, 7);
  assert.equal(after.unsigned, { age: 5, order: 7 });
  assert.equal(before.unsigned, { age: 5, order: "forged" });
  assert.equal(withOrder(event("$b"), -7).unsigned, { order: -7 });
});

const redaction = suite("a redacted event");
const because = event("$x", { type: "m.room.redaction", redacts: "$a", content: {} });

redaction("keeps its envelope and loses its content", () => {
  const before = event("$a", { state_key: "k", unsigned: { age: 1 } });
  const after = redacted(before, because);
  assert.equal(after, { ...before, content: {}, unsigned: { redacted_because: because } });
  assert.equal(before.content, { body: "$a" });
});

const KEPT: readonly (readonly [type: string, content: Record<string, unknown>, kept: Record<string, unknown>])[] = [
  ["m.room.member", { membership: "join", displayname: "A" }, { membership: "join" }],
  ["m.room.join_rules", { join_rule: "restricted", allow: [], other: 1 }, { join_rule: "restricted", allow: [] }],
  ["m.room.power_levels", { ban: 50, users: {}, notifications: {} }, { ban: 50, users: {} }],
  ["m.room.history_visibility", { history_visibility: "joined", a: 1 }, { history_visibility: "joined" }],
  ["m.room.redaction", { redacts: "$b", reason: "spam" }, { redacts: "$b" }],
  ["m.room.create", { room_version: "11", any: 1 }, { room_version: "11", any: 1 }],
  ["m.room.server_acl", { allow: ["*"] }, {}],
  ["constructor", { body: "x" }, {}],
  ["__proto__", { body: "x" }, {}],
];

for (const [type, content, kept] of KEPT) {
  redaction(`of type ${type} keeps ${Object.keys(kept).join(", ") || "nothing"}`, () => {
    assert.equal(redacted(event("$a", { type, content }), because).content, kept);
  });
}

redaction("keeps no inherited keys", () => {
  const content = Object.create({ membership: "join" }) as Record<string, unknown>;
  assert.equal(Object.keys(redacted(event("$a", { type: "m.room.member", content }), because).content), []);
});

schema.run();
order.run();
redaction.run();
