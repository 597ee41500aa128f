/** One rule for what an entry is: for ingress, for the log, and for files (docs/design.md#records). */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decode, decodePruned, encode, encodingOf } from "../../../src/bus/contract/codec.ts";
import { isEntry, isWholeEntry } from "../../../src/bus/contract/log-entry.ts";
import { TidemarkError } from "../../../src/errors.ts";
import { eduRecords, RefusedItems } from "../../../src/ingress/edu.ts";
import { eventEntries, receiptEntries } from "../../../src/ingress/validate.ts";
import { EVENT_BYTES_MAX } from "../../../src/limits.ts";
import type { RoomId, ServerName } from "../../../src/matrix/ids.ts";
import { history } from "../../support/arbitraries.ts";
import { event } from "../../support/entries.ts";
import { BOB, TWO } from "../../support/example-room.ts";
import { check } from "../../support/property.ts";

const EVENT = event("$a");
const EVERY_KEY = event("$a", { state_key: "", redacts: "$b", unsigned: { age: 1 }, room_id: "!a:b.org" as RoomId });
const LONG = "x".repeat(256);

const entry = suite("log entry");

entry("is an event with everything it may have, or a receipt", () => {
  for (const kind of [0, 1, 5]) for (const each of [EVENT, EVERY_KEY]) assert.ok(isWholeEntry([kind, each]));
  for (const kind of [0, 1, 5]) for (const order of [7, -7, 2 ** 50]) assert.ok(isWholeEntry([kind, EVENT, order]));
  assert.ok(isWholeEntry([3, EVERY_KEY]));
  for (const asOf of [0, 7]) assert.ok(isWholeEntry([3, EVERY_KEY, asOf]));
  assert.ok(isWholeEntry([2, BOB, "m.read", "$a", null, 5, null, true]));
  for (const thread of [null, "main", "?", "$root"]) {
    for (const origin of [null, TWO]) assert.ok(isWholeEntry([2, BOB, "m.read", "$a", thread, 5, origin]));
  }
  assert.ok(isWholeEntry([2, BOB, "m.fully_read", "$a", null, 0, null]));
});

entry("is every entry of the fold's tests, also after it was stored", () => {
  check(
    fc.property(history, (positioned) => {
      for (const { entry } of positioned) {
        assert.ok(isWholeEntry(entry));
        assert.ok(isEntry(decode(encode(entry))));
      }
    }),
  );
});

/** Values that no field accepts, and values that are only wrong in some. */
const BAD_EVENT_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  event_id: [undefined, null, 5, "", "a", "$", "@a:b", `$${LONG}`, "$a\0", "$\ud800"],
  type: [undefined, null, 5, LONG, "\ud800"],
  sender: [undefined, null, 5, "", "a", "@a", "@a:b:c d", `@${LONG}:b.org`],
  origin_server_ts: [undefined, null, "5", -1, 1.5, 2 ** 60, Number.NaN],
  content: [undefined, null, "text", [], 5],
  state_key: [null, 5, LONG, {}, "\udc00"],
  redacts: [null, "", "a", 5, `$${LONG}`],
  unsigned: [null, "text", [], 5],
  room_id: [null, "", "a", 5, "!"],
};

entry("is no event with a field that ingress would not have written", () => {
  for (const [field, values] of Object.entries(BAD_EVENT_FIELDS)) {
    for (const value of values) {
      assert.not(isEntry([0, { ...EVERY_KEY, [field]: value }]), `${field}: ${JSON.stringify(value)}`);
    }
  }
  for (const value of [null, "event", 5, [], [EVENT]]) assert.not(isEntry([0, value]));
  const beyond = [2 ** 60, Number.MAX_SAFE_INTEGER, 2 ** 53 - 2 ** 48 + 1, Number.MIN_SAFE_INTEGER];
  for (const order of [0, 1.5, "1", null, undefined, Number.NaN, ...beyond]) assert.not(isEntry([0, EVENT, order]));
  for (const asOf of [-1, 1.5, "1", null, 2 ** 60]) assert.not(isEntry([3, EVERY_KEY, asOf]));
  assert.not(isEntry([3, EVENT]), "state without a state key");
  for (const items of [[0], [0, EVENT, 1, 1], [7, EVENT], ["0", EVENT], [null, EVENT], [-1, EVENT]])
    assert.not(isEntry(items));
});

entry("of a file has no event that is larger than ingress makes it, or has other keys", () => {
  const fitting = (text: string) => {
    const bare = event("$a", { content: { body: "" } });
    const bytes = EVENT_BYTES_MAX - JSON.stringify(bare).length;
    return { ...bare, content: { body: text.repeat(Math.floor(bytes / Buffer.byteLength(text))) } };
  };
  for (const text of ["x", "é", "😀"]) {
    const whole = fitting(text);
    assert.ok(isWholeEntry([0, whole]));
    assert.not(isWholeEntry([0, { ...whole, content: { body: `${whole.content.body}${text}` } }]), text);
  }
  assert.not(isWholeEntry([0, { ...EVENT, depth: 1 }]));
});

const RECEIPT = [2, BOB, "m.read", "$a", null, 5, null] as const;
const BAD_ITEMS: readonly (readonly unknown[])[] = [
  [],
  [undefined, null, 5, "", "bob", "@bob", `@${LONG}:b.org`],
  [undefined, null, 5, "", "m.unread", "__proto__", "toString"],
  [undefined, null, 5, "", "a", `$${LONG}`],
  [undefined, 5, "", "Main", "a", `$${LONG}`],
  [undefined, null, "5", -1, 0.5, 2 ** 60, Number.NaN, Number.POSITIVE_INFINITY],
  [undefined, 5, "", "a b", "@a:b.org", `${LONG}.org`, {}],
];

entry("is no receipt with an item that ingress would not have written", () => {
  BAD_ITEMS.forEach((values, at) => {
    for (const value of values)
      assert.not(isEntry(RECEIPT.with(at, value as never)), `${at}: ${JSON.stringify(value)}`);
  });
  for (const items of [
    RECEIPT.slice(0, 6),
    [...RECEIPT, null],
    [...RECEIPT, false],
    [...RECEIPT, 1],
    [...RECEIPT, true, true],
  ])
    assert.not(isEntry(items));
  assert.not(isEntry([2, BOB, "m.fully_read", "$a", "main", 5, null]), "a thread with a type that has none");
});

entry("of a file has content that ingress would not have pruned", () => {
  for (const content of [
    '{"__proto__":1}',
    '{"a":"\\ud800"}',
    '{"n":1e999}',
    `${'{"a":'.repeat(70)}1${"}".repeat(70)}`,
  ]) {
    assert.not(isWholeEntry([0, { ...EVENT, content: JSON.parse(content) }]), content);
    assert.not(isWholeEntry([0, { ...EVENT, unsigned: JSON.parse(content) }]), content);
  }
});

const anyId = fc.oneof(
  fc.constantFrom(
    "$a",
    "@b:one.example",
    "!r:one.example",
    "two.example",
    "main",
    "?",
    "__proto__",
    "",
    null,
    "$\ud800",
  ),
  fc
    .tuple(fc.constantFrom("$", "@", "!", ""), fc.string({ unit: "binary", maxLength: 300 }))
    .map(([s, t]) => `${s}${t}`),
  fc
    .tuple(fc.string({ unit: "grapheme", maxLength: 4 }), fc.constantFrom("@", "$", "!"))
    .map(([t, s]) => `${s}${t}:b.org`),
);
const any = fc.oneof(anyId, fc.double(), fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(-1, 2 ** 60, 0.5, undefined));
/** Mostly what is valid, so that requests are accepted too. */
const mostly = (valid: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 9, arbitrary: valid }, { weight: 1, arbitrary: any });
const sentEvent = fc.record({
  event_id: mostly(fc.string({ unit: "binary", minLength: 1, maxLength: 300 }).map((text) => `$${text}`)),
  type: mostly(fc.string({ unit: "binary", maxLength: 300 })),
  sender: mostly(fc.string({ unit: "grapheme", maxLength: 5 }).map((text) => `@${text.replaceAll(":", "")}:b.org`)),
  origin_server_ts: mostly(fc.double()),
  content: mostly(fc.dictionary(fc.string(), any)),
  state_key: mostly(fc.constantFrom(null, undefined, "", "é".repeat(200))),
  redacts: any,
  unsigned: fc.option(fc.dictionary(fc.string(), any)),
  room_id: fc.constantFrom(null, undefined, "!r:one.example"),
});
const sentReceipt = fc.record({
  user_id: mostly(fc.constant(BOB)),
  receipt_type: fc.constantFrom("m.read", "m.read.private", "m.fully_read"),
  event_id: mostly(fc.constant("$a")),
  thread_id: mostly(fc.constantFrom(undefined, null, "main", "$root")),
  thread_known: fc.constantFrom(undefined, null, false),
  ts: mostly(fc.double()),
});

/** What ingress makes of a request: entries, or none because it refuses it. */
function entriesOf(make: () => readonly unknown[]): readonly unknown[] {
  try {
    return make();
  } catch (error) {
    assert.instance(error, TidemarkError);
    return [];
  }
}

entry("is everything that ingress makes of requests, whatever is in them", () => {
  const room = "!r:one.example" as RoomId;
  let made = 0;
  const written = (entries: readonly unknown[]) => {
    for (const each of entries) {
      made++;
      assert.ok(isWholeEntry(each), JSON.stringify(each));
      assert.ok(isEntry(decode(encode(each))), JSON.stringify(each));
    }
  };
  check(
    fc.property(fc.array(sentEvent, { minLength: 1, maxLength: 3 }), sentReceipt, (events, receipt) => {
      for (const kind of ["event", "backfill", "state"] as const) {
        for (const bytes of [Buffer.from(JSON.stringify(events)), encode(events)]) {
          const decoded = () => decodePruned(bytes, encodingOf(bytes), () => {});
          written(
            entriesOf(() => eventEntries(kind, room, { value: decoded(), bytes: bytes.length, at: 5 }, () => {})),
          );
        }
      }
      written(entriesOf(() => receiptEntries({ value: receipt, bytes: 100, at: 5 })));
      const item = { event_ids: [receipt.event_id], data: { ts: receipt.ts, thread_id: receipt.thread_id } };
      const content = { [room]: { "m.read": { [String(receipt.user_id)]: item } } };
      const origin = "one.example" as ServerName;
      const records = () => eduRecords(origin, { value: content, bytes: 100, at: 5 }, new RefusedItems());
      written(entriesOf(() => records().flatMap(({ entries }) => entries)));
    }),
    { numRuns: 200 },
  );
  assert.ok(made > 500, `${made}`);
});

entry.run();
