/** What can't be carried in an event goes alone; the event stays (docs/design.md#requests). */
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodePruned, encode, encodingOf } from "../../../src/bus/contract/codec.ts";
import { fittedEvent } from "../../../src/bus/contract/event-size.ts";
import type { PrunedReason } from "../../../src/bus/contract/pruning.ts";
import { messagePackFault } from "../../../src/bus/contract/untrusted.ts";
import { TidemarkError } from "../../../src/errors.ts";
import { DEPTH_MAX, EVENT_BYTES_MAX } from "../../../src/limits.ts";
import { acl, event, member } from "../../support/entries.ts";
import { check } from "../../support/property.ts";

interface Decoded {
  readonly value: unknown;
  readonly pruned: readonly PrunedReason[];
}

function decoded(bytes: Uint8Array): Decoded {
  const pruned: PrunedReason[] = [];
  return { value: decodePruned(bytes, encodingOf(bytes), (reason) => pruned.push(reason)), pruned };
}

function refusal(bytes: Uint8Array): string {
  try {
    decoded(bytes);
    return "accepted";
  } catch (error) {
    assert.instance(error, TidemarkError);
    return (error as TidemarkError).message;
  }
}

/** Writes every key, `__proto__` too, and numbers that JSON has no word for. */
const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** A content in both encodings, as JSON text says it. `1e999` is infinite. */
function bothOf(content: string): readonly Uint8Array[] {
  const text = `{"event_id":"$a","content":${content}}`;
  return [Buffer.from(text), packr.pack(JSON.parse(text))];
}

const nested = (depth: number, inner: string) => `${'{"a":'.repeat(depth)}${inner}${"}".repeat(depth)}`;

const SAMPLES: readonly (readonly [name: string, content: string, kept: unknown, pruned: readonly PrunedReason[]])[] = [
  [
    "no number",
    '{"allow":["*"],"n":1e22,"f":0.1,"i":1152921504606846976}',
    { allow: ["*"], n: 1e22, f: 0.1, i: 2 ** 60 },
    [],
  ],
  ["an infinite number", '{"allow":["*"],"n":1e999}', { allow: ["*"] }, ["number"]],
  ["an infinite item", '{"list":[1,-1e999,{"n":1e999}]}', { list: [1, null, {}] }, ["number", "number"]],
  ["a key named __proto__", '{"membership":"join","__proto__":{"x":1}}', { membership: "join" }, ["proto"]],
  ["such a key inside", '{"a":[{"__proto__":1,"b":2}]}', { a: [{ b: 2 }] }, ["proto"]],
  ["what is in such a key", '{"__proto__":{"__proto__":{"n":1e999}},"b":2}', { b: 2 }, ["proto"]],
];

const pruning = suite("pruning");

for (const [name, content, kept, reasons] of SAMPLES) {
  pruning(`takes ${name}, and nothing else`, () => {
    for (const bytes of bothOf(content)) {
      const { value, pruned } = decoded(bytes);
      assert.equal(value, { event_id: "$a", content: kept });
      assert.equal([...pruned].sort(), [...reasons].sort());
      const inArray = Buffer.from(`[{"event_id":"$b"},{"event_id":"$a","content":${content}}]`);
      assert.equal(decoded(inArray).value, [{ event_id: "$b" }, { event_id: "$a", content: kept }]);
    }
  });
}

pruning("takes what is nested too deep, and keeps what is not", () => {
  const deepest = DEPTH_MAX - 1;
  for (const bytes of bothOf(nested(deepest, "7"))) assert.equal(decoded(bytes).pruned, []);
  for (const inner of ["{}", "[]", nested(3, "[7]"), nested(1_000, "7"), "[1,[2,3],{}]"]) {
    for (const bytes of bothOf(nested(deepest, `7,"b":${inner},"c":8`))) {
      assert.equal(decoded(bytes), {
        value: { event_id: "$a", content: JSON.parse(nested(deepest, '7,"c":8')) },
        pruned: ["depth"],
      });
    }
  }
});

pruning("makes text well-formed, in values and keys", () => {
  const json = Buffer.from('{"type":"\\ud800","content":{"a":"x\\ud800y","\\udc00":["\\ud83d\\ude00","\\ud83d"]}}');
  assert.equal(decoded(json), {
    value: { type: "\ud800", content: { a: "x\ufffdy", "\ufffd": ["😀", "\ufffd"] } },
    pruned: ["text", "text", "text"],
  });
  // msgpackr writes them as bytes that are not UTF-8.
  const { content } = decoded(packr.pack({ content: { a: "x\ud800y", "\udc00": ["😀", "\ud83d"] } })).value as {
    content: Record<string, unknown>;
  };
  assert.ok(isWellFormed(content));
  assert.equal(Object.keys(content).length, 2);
});

pruning("takes other keys of an event, and leaves its identifiers and times to the schema", () => {
  const json = Buffer.from(
    '{"event_id":"$\\ud800","origin_server_ts":1e999,"__proto__":1,"content":{},"age":{"n":1e999}}',
  );
  assert.equal(decoded(json).value, {
    event_id: "$\ud800",
    origin_server_ts: Number.POSITIVE_INFINITY,
    content: {},
    age: {},
  });
});

pruning("treats events with an order beside them as events in an array", () => {
  const event = '{"event_id":"$\\ud800","origin_server_ts":1e999,"content":{"n":1e999,"b":"\\ud800"}}';
  const inArray = decoded(Buffer.from(`[${event}]`));
  const beside = decoded(Buffer.from(`{"events":[${event}],"as_of":7}`));
  assert.equal(beside, { value: { events: inArray.value, as_of: 7 }, pruned: inArray.pruned });
  assert.equal(inArray.pruned, ["number", "text"]);
  assert.is(refusal(Buffer.from('{"events":[1e999],"as_of":7}')), "not accepted: a number that is not finite");
  const named = decoded(Buffer.from('{"event_id":"$a","events":[1e999]}'));
  assert.equal(named, { value: { event_id: "$a", events: [null] }, pruned: ["number"] });
});

pruning("doesn't help what is no event", () => {
  for (const [text, why] of [
    ["[1e999]", "a number that is not finite"],
    ["[[1e999]]", "a number that is not finite"],
    ['[[{"__proto__":1}]]', "a key named __proto__"],
    [`${"[".repeat(65)}${"]".repeat(65)}`, `nested more than ${DEPTH_MAX} deep`],
  ] as const) {
    assert.is(refusal(Buffer.from(text)), `not accepted: ${why}`);
    assert.is(refusal(packr.pack(JSON.parse(text))), `not plain MessagePack: ${why}`);
  }
  assert.is(refusal(Buffer.from("d40000", "hex")), "not plain MessagePack: an extension type");
  assert.is(
    refusal(Buffer.concat([Buffer.from("82a16ecb7ff0000000000000a161", "hex"), Buffer.from("d40000", "hex")])),
    "not plain MessagePack: an extension type",
    "next to a value that would be pruned",
  );
});

/** The rules, written once more. Returns undefined for what is pruned. */
function model(value: unknown, depth: number): unknown {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) return value;
  if (depth === DEPTH_MAX) return undefined;
  if (Array.isArray(value)) return value.map((item) => model(item, depth + 1) ?? null);
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      const kept = key === "__proto__" ? undefined : model(inner, depth + 1);
      return kept === undefined ? [] : [[key.toWellFormed(), kept]];
    }),
  );
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, inner]) => key.isWellFormed() && isWellFormed(inner));
}

const odd = fc.constantFrom<unknown>(Number.NaN, Number.POSITIVE_INFINITY, 1e22, "\ud800", "x\udfff", null, -0.5, []);
const key = fc.oneof(fc.constantFrom("__proto__", "a", "hasOwnProperty", "toJSON"), fc.string({ maxLength: 3 }));
const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    odd,
    fc.jsonValue({ maxDepth: 1 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
    fc
      .tuple(tie("value"), fc.integer({ min: 50, max: 70 }))
      .map(([inner, depth]) => Array.from({ length: depth }).reduce<unknown>((value) => ({ a: value }), inner)),
  ),
}));

pruning("keeps everything else, in both encodings, and what is left can be published", () => {
  check(
    fc.property(anyValue, (inner) => {
      const sent = { content: { inner } };
      const kept = model(sent, 0);
      const { value } = decoded(packr.pack(sent));
      assert.is(messagePackFault(encode(value)), undefined);
      assert.ok(isWellFormed(value));
      if (isWellFormed(sent)) assert.equal(value, kept);
      const text = JSON.stringify(sent, (_, inner) =>
        Number.isFinite(inner) || typeof inner !== "number" ? inner : "∞",
      );
      const json = decoded(Buffer.from(text.replaceAll('"∞"', "1e999"))).value;
      assert.equal(json, JSON.parse(JSON.stringify(kept)));
      assert.is(messagePackFault(encode(json)), undefined);
    }),
    { numRuns: 300 },
  );
});

const size = suite("an event that is too large");

const reduced = (large: Parameters<typeof fittedEvent>[0]) => {
  const reasons: PrunedReason[] = [];
  return { event: fittedEvent(large, (reason) => reasons.push(reason)), reasons };
};

size("is one of more than 65,536 bytes of JSON", () => {
  const spare = EVENT_BYTES_MAX - Buffer.byteLength(JSON.stringify(event("$1", { content: { body: "" } })));
  const whole = event("$1", { content: { body: "x".repeat(spare) } });
  assert.is(reduced(whole).event, whole);
  const larger = event("$1", { content: { body: "x".repeat(spare + 1) } });
  assert.equal(reduced(larger), { event: event("$1", { content: {} }), reasons: ["size"] });
});

const FILL = "x".repeat(EVENT_BYTES_MAX);

size("keeps its envelope and what the fold reads", () => {
  const joins = event("$1", member("@a:b.org", "join"));
  const large = { ...joins, content: { ...joins.content, displayname: FILL } };
  assert.equal(reduced(large).event, { ...joins, content: { membership: "join" } });
  const rules = event("$1", acl({ allow: ["*"], deny: ["evil.org"] }));
  assert.equal(reduced({ ...rules, content: { ...rules.content, why: FILL } }).event, rules);
  const relation = { "m.relates_to": { rel_type: "m.thread", event_id: "$root" } };
  assert.equal(reduced(event("$1", { content: { ...relation, body: FILL } })).event.content, relation);
});

size("keeps its content if it is too large for what a homeserver added", () => {
  const whole = event("$1", { unsigned: { prev_content: { body: FILL } } });
  assert.equal(reduced(whole).event, event("$1"));
});

size("is stored without content if even that is too large", () => {
  const relation = { "m.relates_to": { rel_type: FILL, event_id: "$root" } };
  assert.equal(reduced(event("$1", { content: relation })).event, event("$1", { content: {} }));
});

pruning.run();
size.run();
