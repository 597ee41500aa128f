/** What is plain becomes the same bytes as by the schema, and what isn't is left to it. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeUntrusted, encode } from "../../src/bus/contract/codec.ts";
import { encodeEntries } from "../../src/bus/contract/record.ts";
import { plainReceipts } from "../../src/ingress/plain-receipts.ts";
import { receiptEntries } from "../../src/ingress/validate.ts";
import { ENTRIES_PER_RECORD_MAX } from "../../src/limits.ts";
import { RECEIPT_TYPES } from "../../src/matrix/receipt-types.ts";
import { check } from "../support/property.ts";

const RUNS = 3_000;
const ARRIVED = 1_700_000_000_000;

/** What the schema makes of a request; undefined if it is refused. */
function bySchema(request: Uint8Array): Uint8Array | undefined {
  try {
    const value = decodeUntrusted(request, "msgpack");
    return encodeEntries(receiptEntries({ value, bytes: request.length, at: ARRIVED })).bytes;
  } catch {
    return undefined;
  }
}

/** Compares both ways; returns whether the request is plain. */
function compare(request: Uint8Array): boolean {
  const plain = plainReceipts(request, ARRIVED);
  if (plain === undefined) return false;
  assert.equal(Buffer.from(plain.bytes).toString("hex"), Buffer.from(bySchema(request) ?? []).toString("hex"));
  return true;
}

const id = (sigil: string) =>
  fc.oneof(
    { weight: 20, arbitrary: fc.stringMatching(/^[ -~]{1,40}$/).map((rest) => sigil + rest) },
    fc.string({ unit: "binary", maxLength: 300 }).map((rest) => sigil + rest),
    fc.string({ maxLength: 4 }),
  );
const host = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("one.example", "one.example:8448", "[::1]:80", "[::1]") },
  fc.constantFrom("[", "[]", "[::1", "[::1]80", "a:", "a:123456", "é", ""),
);
const user = fc.tuple(fc.string({ maxLength: 12 }), host).map(([localpart, server]) => `@${localpart}:${server}`);
const number = fc.oneof(
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  fc.double(),
  fc.constantFrom(0, -0, 2 ** 32, 2 ** 32 - 1, 2 ** 53, -1),
);
const anything = fc.oneof(number, fc.constant(null), fc.boolean(), fc.string(), fc.constant([]), fc.constant({}));
const odd = (usual: fc.Arbitrary<unknown>) => fc.oneof({ weight: 30, arbitrary: usual }, anything);

const usual = {
  user_id: odd(user),
  receipt_type: odd(fc.constantFrom(...RECEIPT_TYPES, ...RECEIPT_TYPES, "m.other")),
  event_id: odd(id("$")),
};
const thread_id = odd(fc.oneof(fc.constantFrom("main", "?", null), id("$")));
const ts = odd(fc.oneof(fc.constant(ARRIVED), number));
const receipt = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ ...usual, thread_id, ts }, { requiredKeys: ["user_id", "receipt_type", "event_id"] }),
  },
  fc.record(
    { ...usual, thread_id, ts, accepted: fc.constantFrom(true, null), remote: fc.constant(true), other: anything },
    { requiredKeys: [] },
  ),
);
const shuffled = receipt.chain((keys) => {
  const entries = Object.entries(keys);
  return fc.shuffledSubarray(entries, { minLength: entries.length }).map((shuffled) => Object.fromEntries(shuffled));
});
const request = fc.oneof(shuffled, fc.array(shuffled, { maxLength: 20 })).map(encode);

const plain = suite("plain receipts");

plain("become the bytes that the schema makes of them", () => {
  let count = 0;
  check(
    fc.property(request, (bytes) => {
      if (compare(bytes)) count++;
    }),
    { numRuns: RUNS },
  );
  assert.ok(count > RUNS / 10, `${count} of at least ${RUNS} requests are plain`);
});

plain("are checked to their last byte, whatever byte is another one", () => {
  const mutation = fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.boolean() });
  check(
    fc.property(request, fc.array(mutation, { minLength: 1, maxLength: 4 }), (bytes, mutations) => {
      let mutated = Uint8Array.from(bytes);
      for (const { at, byte, cut } of mutations) {
        if (mutated.length === 0) break;
        if (cut) mutated = mutated.subarray(0, at % mutated.length);
        else mutated[at % mutated.length] = byte;
      }
      compare(mutated);
    }),
    { numRuns: 3_000 },
  );
});

const BOB = { user_id: "@bob:one.example", receipt_type: "m.read", event_id: "$a" };

plain("are those that front-ends send", () => {
  const usual: unknown[] = [
    BOB,
    { ...BOB, ts: ARRIVED },
    { ...BOB, thread_id: "main" },
    { ...BOB, thread_id: "$root", ts: ARRIVED },
    { ...BOB, thread_id: null, ts: null },
    { ...BOB, receipt_type: "m.fully_read" },
    { ...BOB, receipt_type: "m.read.private", user_id: "@bob:[::1]:8448" },
    [BOB],
    Array.from({ length: ENTRIES_PER_RECORD_MAX }, (_, n) => ({ ...BOB, event_id: `$${n}` })),
  ];
  for (const value of usual) assert.ok(compare(Buffer.from(encode(value))), JSON.stringify(value).slice(0, 100));
});

plain("are no others", () => {
  const others: unknown[] = [
    [],
    { ...BOB, accepted: true },
    { ...BOB, thread_id: "" },
    { ...BOB, thread_id: "?" },
    { ...BOB, receipt_type: "m.fully_read", thread_id: "main" },
    { ...BOB, user_id: "@bob:" },
    { ...BOB, user_id: "@bob" },
    { ...BOB, event_id: "$" },
    { ...BOB, event_id: "$é" },
    { ...BOB, ts: 1.5 },
    Array.from({ length: ENTRIES_PER_RECORD_MAX + 1 }, () => BOB),
    "text",
  ];
  for (const value of others) assert.not(compare(Buffer.from(encode(value))), JSON.stringify(value).slice(0, 100));
});

plain.run();
