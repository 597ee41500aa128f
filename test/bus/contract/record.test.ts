import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../../actors/entry.ts";
import { encode } from "../../../src/bus/contract/codec.ts";
import { decodeRecord, encodeRecord } from "../../../src/bus/contract/record.ts";
import { TidemarkError } from "../../../src/errors.ts";
import { history } from "../../support/arbitraries.ts";
import { BASE, BOB, backfilled, describe, event, live, receipt, Story, state, TWO } from "../../support/given.ts";
import { check } from "../../support/property.ts";

const record = suite("record");

const ENTRIES: readonly Entry[] = [
  live("$a", { unsigned: { age: 1 } }),
  backfilled("$b"),
  state("$c", { type: "m.room.name", state_key: "", content: { name: "é" } }),
  receipt(BOB, "$a", { thread: "main", origin: TWO }),
  receipt(BOB, "$a"),
];

record("is the same after encoding and decoding", () => {
  assert.equal(decodeRecord(7, encodeRecord(1_700_000_000_000, ENTRIES)), {
    sequence: 7,
    at: 1_700_000_000_000,
    entries: ENTRIES,
  });
});

record("is the same after encoding and decoding, with any entries", () => {
  check(
    fc.property(fc.nat(2 ** 31), history, (at, positioned) => {
      const entries = positioned.map(({ entry }) => entry);
      assert.equal(decodeRecord(1, encodeRecord(at, entries)), { sequence: 1, at, entries });
    }),
  );
});

/** Decodes bytes, which must fail with `RECORD_UNREADABLE`. Returns the message. */
function unreadable(bytes: Uint8Array): string {
  try {
    decodeRecord(7, bytes);
  } catch (error) {
    assert.instance(error, TidemarkError);
    assert.is((error as TidemarkError).code, "RECORD_UNREADABLE");
    assert.not((error as TidemarkError).shouldRetry());
    return (error as TidemarkError).message;
  }
  throw new Error("it was read");
}

const EVENT = event("$a");

for (const [why, value] of [
  ["its version is 2, this Tidemark reads 1", [2, 5, [[0, EVENT]]]],
  ["its version is undefined", []],
  ["its version is 1, this", ["1", 5, [[0, EVENT]]]],
  ["it is not an array", { v: 1 }],
  ["it is not an array", null],
  ["its clock or entries are missing", [1]],
  ["its clock or entries are missing", [1, "now", [[0, EVENT]]]],
  ["its clock or entries are missing", [1, 5, { 0: [0, EVENT] }]],
  ["it has 0 entries", [1, 5, []]],
  ["it has 1025 entries", [1, 5, Array.from({ length: 1_025 }, () => [0, EVENT])]],
  [
    "it has an invalid entry",
    [
      1,
      5,
      [
        [0, EVENT],
        [4, EVENT],
      ],
    ],
  ],
  ["it has an invalid entry", [1, 5, [["0", EVENT]]]],
  ["it has an invalid entry", [1, 5, [[0]]]],
  ["it has an invalid entry", [1, 5, [[0, null]]]],
  ["it has an invalid entry", [1, 5, [EVENT]]],
  ["it has an invalid entry", [1, 5, [[2, BOB, "m.read", "$a", null, 5]]]],
  ["it has an invalid entry", [1, 5, [[2, BOB, "m.read", "$a", null, 5, null, null]]]],
  ["it has an invalid entry", [1, 5, [[2, BOB, 7, "$a", null, 5, null]]]],
  ["it has an invalid entry", [1, 5, [[2, BOB, "m.read", "$a", false, 5, null]]]],
  ["it has an invalid entry", [1, 5, [[2, BOB, "m.read", "$a", null, "5", null]]]],
  ["it has an invalid entry", [1, 5, [[2, BOB, "m.read", "$a", null, 5, 0]]]],
  ["it has an invalid entry", [1, 5, [[0, { ...EVENT, event_id: null }]]]],
  ["it has an invalid entry", [1, 5, [[0, { ...EVENT, content: "text" }]]]],
] as const) {
  record(`is never skipped: ${JSON.stringify(value).slice(0, 60)}`, () => {
    assert.match(unreadable(encode(value)), why);
  });
}

record("is never skipped if it is not MessagePack, and the error names it and the remedy", () => {
  for (const bytes of [new Uint8Array(), Buffer.from("93", "hex"), Buffer.from("c1", "hex")]) {
    const message = unreadable(bytes);
    assert.match(message, "record 7 of the log can't be read");
    assert.match(message, "Run the version of Tidemark that wrote it, or a newer one.");
  }
});

record("can have 1024 entries", () => {
  const entries = Array.from({ length: 1_024 }, (_, i) => receipt(BOB, `$${i}`));
  assert.is(decodeRecord(1, encodeRecord(5, entries)).entries.length, 1_024);
});

/**
 * As written by version 0.1.0: `ENTRIES` at 1 700 000 000 000. Every version must read it, and fold it to the same
 * state.
 */
const STORED_V1 =
  "9301cb4278bcfe5680000095920086a474797065ae6d2e726f6f6d2e6d657373616765a673656e646572b240616c6963653a6f6e652e6578616d706c65b06f726967696e5f7365727665725f7473cb4278bcfe56800000a7636f6e74656e7481a4626f6479a22461a8756e7369676e656481a361676501a86576656e745f6964a22461920185a474797065ae6d2e726f6f6d2e6d657373616765a673656e646572b240616c6963653a6f6e652e6578616d706c65b06f726967696e5f7365727665725f7473cb4278bcfe56800000a7636f6e74656e7481a4626f6479a22462a86576656e745f6964a22462920386a474797065ab6d2e726f6f6d2e6e616d65a673656e646572b240616c6963653a6f6e652e6578616d706c65b06f726967696e5f7365727665725f7473cb4278bcfe56800000a7636f6e74656e7481a46e616d65a2c3a9a973746174655f6b6579a0a86576656e745f6964a224639702b040626f623a6f6e652e6578616d706c65a66d2e72656164a22461a46d61696ecb4278bcfe56800000ab74776f2e6578616d706c659702b040626f623a6f6e652e6578616d706c65a66d2e72656164a22461c0cb4278bcfe56800000c0";

const stored = suite("stored record of version 1");

stored("is read as it was stored", () => {
  const { at, entries } = decodeRecord(1, Buffer.from(STORED_V1, "hex"));
  assert.is(at, 1_700_000_000_000);
  assert.equal(entries, ENTRIES);
});

stored("is the same when it is written today", () => {
  assert.is(Buffer.from(encodeRecord(1_700_000_000_000, ENTRIES)).toString("hex"), STORED_V1);
});

stored("folds to the same state", () => {
  const story = new Story();
  const { entries } = decodeRecord(1, Buffer.from(STORED_V1, "hex"));
  assert.equal(
    entries.map((entry) => describe(story.fold(entry))),
    [["ordered"], ["ordered"], ["noted"], ["advanced"], ["advanced"]],
  );
  assert.is(story.order("$a"), BASE + 1);
  assert.is(story.order("$b"), -1);
});

record.run();
stored.run();
