import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../../actors/entry.ts";
import { decode, encode } from "../../../src/bus/contract/codec.ts";
import { decodeRecord, decodeStart, encodeRecord, encodeStart } from "../../../src/bus/contract/record.ts";
import { TidemarkError } from "../../../src/errors.ts";
import { history as histories } from "../../support/arbitraries.ts";
import { backfilled, event, history, live, receipt, state } from "../../support/entries.ts";
import { BASE, BOB, TWO } from "../../support/example-room.ts";
import { describe, Story } from "../../support/given.ts";
import { check } from "../../support/property.ts";
import { decodedRecord, entriesOf } from "../../support/records.ts";

const record = suite("record");

const ENTRIES: readonly Entry[] = [
  live("$a", { unsigned: { age: 1 } }),
  backfilled("$b"),
  state("$c", { type: "m.room.name", state_key: "", content: { name: "é" } }),
  receipt(BOB, "$a", { thread: "main", origin: TWO }),
  receipt(BOB, "$a"),
];

record("is the same after encoding and decoding", () => {
  const at = 1_700_000_000_000;
  assert.equal(decodeRecord(7, encodeRecord(at, ENTRIES)), { at, entries: ENTRIES });
});

record("is the same after encoding and decoding, with any entries", () => {
  check(
    fc.property(fc.nat(2 ** 31), histories, (at, positioned) => {
      const entries = positioned.map(({ entry }) => entry);
      assert.equal(decodeRecord(1, encodeRecord(at, entries)), { at, entries });
    }),
  );
});

const EVENT = event("$a");

// I23
for (const [why, value] of [
  ["it has no version", []],
  ["it has no version", ["1", 5, [[0, EVENT]]]],
  ["it has no version", [0, 5, [[0, EVENT]]]],
  ["it is not an array", { v: 1 }],
  ["it is not an array", null],
  ["its clock or entries are missing", [1]],
  ["its clock or entries are missing", [1, "now", [[0, EVENT]]]],
  ["its clock or entries are missing", [1, 5, { 0: [0, EVENT] }]],
  ["it has 0 entries", [1, 5, []]],
  ["it has 1025 entries", [1, 5, Array.from({ length: 1_025 }, () => [0, EVENT])]],
] as const) {
  record(`is none, but the fold goes on: ${JSON.stringify(value).slice(0, 60)}`, () => {
    assert.is(decodeRecord(7, encode(value)), why);
  });
}

record("is none if it is not MessagePack", () => {
  for (const bytes of [new Uint8Array(), Buffer.from("93", "hex"), Buffer.from("c1", "hex")]) {
    assert.match(decodeRecord(7, bytes) as string, /^it is not (MessagePack|an array)$/);
  }
});

// I23
for (const invalid of [
  [4, EVENT],
  [6, 1_000, "lineage", null],
  ["0", EVENT],
  [0],
  [0, null],
  [0, EVENT, 0],
  [0, EVENT, 1.5],
  [3, EVENT, -1],
  EVENT,
  null,
  [2, BOB, "m.read", "$a", null, 5],
  [2, BOB, "m.read", "$a", null, 5, null, null],
  [2, BOB, 7, "$a", null, 5, null],
  [2, BOB, "m.read", "$a", false, 5, null],
  [2, BOB, "m.read", "$a", null, "5", null],
  [2, BOB, "m.read", "$a", null, 5, 0],
  [0, { ...EVENT, event_id: null }],
  [0, { ...EVENT, content: "text" }],
]) {
  record(`has an item that is no entry, and its neighbours: ${JSON.stringify(invalid).slice(0, 60)}`, () => {
    const [before, after] = [live("$b"), receipt(BOB, "$b")];
    assert.equal(decodedRecord(7, encode([2, 5, [before, invalid, after]])).entries, [before, null, after]);
  });
}

record("of a newer version stops its reader, and the error names the record and the remedy", () => {
  for (const read of [decodeRecord, decodeStart]) {
    try {
      read(7, encode([3, 5, [[0, EVENT]]]));
    } catch (error) {
      assert.instance(error, TidemarkError);
      const { code, message } = error as TidemarkError;
      assert.is(code, "RECORD_UNREADABLE");
      assert.not((error as TidemarkError).shouldRetry());
      assert.match(message, "record 7 of the log can't be read: its version is 3, this Tidemark reads up to 2");
      assert.match(message, "Run the version of Tidemark that wrote it, or a newer one.");
      continue;
    }
    throw new Error("it was read");
  }
});

record("has the lowest version that can say what is in it", () => {
  const version = (...entries: Entry[]) => (decode(encodeRecord(5, entries)) as unknown[])[0];
  assert.is(version(live("$a"), backfilled("$b"), state("$c"), receipt(BOB, "$a")), 1);
  for (const entry of [history("$a"), [...live("$a"), 1_001], [...state("$a"), 7], [...receipt(BOB, "$a"), true]]) {
    assert.is(version(live("$b"), entry as Entry), 2);
  }
});

record("of a log's beginning has its base and lineage", () => {
  const start = { base: 1_000, lineage: "one", parent: null };
  assert.equal(decodeStart(1, encodeStart(5, start)), { at: 5, start });
  assert.is(decodeStart(1, encodeRecord(5, [live("$a")])), "its base is not a positive integer");
  assert.is(decodeStart(1, encode([2, 5, [[6, -1, "one", null]]])), "its base is not a positive integer");
  assert.is(decodeStart(1, encode([2, 5, [[6, 1, 7, null]]])), "its lineage is missing");
});

record("can have 1024 entries", () => {
  const entries = Array.from({ length: 1_024 }, (_, i) => receipt(BOB, `$${i}`));
  assert.is(decodedRecord(1, encodeRecord(5, entries)).entries.length, 1_024);
});

/**
 * As written by version 0.1.0: `ENTRIES` at 1 700 000 000 000. Every version must read it, and fold it to the same
 * state.
 */
const STORED_V1 =
  "9301cb4278bcfe5680000095920086a474797065ae6d2e726f6f6d2e6d657373616765a673656e646572b240616c6963653a6f6e652e6578616d706c65b06f726967696e5f7365727665725f7473cb4278bcfe56800000a7636f6e74656e7481a4626f6479a22461a8756e7369676e656481a361676501a86576656e745f6964a22461920185a474797065ae6d2e726f6f6d2e6d657373616765a673656e646572b240616c6963653a6f6e652e6578616d706c65b06f726967696e5f7365727665725f7473cb4278bcfe56800000a7636f6e74656e7481a4626f6479a22462a86576656e745f6964a22462920386a474797065ab6d2e726f6f6d2e6e616d65a673656e646572b240616c6963653a6f6e652e6578616d706c65b06f726967696e5f7365727665725f7473cb4278bcfe56800000a7636f6e74656e7481a46e616d65a2c3a9a973746174655f6b6579a0a86576656e745f6964a224639702b040626f623a6f6e652e6578616d706c65a66d2e72656164a22461a46d61696ecb4278bcfe56800000ab74776f2e6578616d706c659702b040626f623a6f6e652e6578616d706c65a66d2e72656164a22461c0cb4278bcfe56800000c0";

const stored = suite("stored record of version 1");

stored("is read as it was stored", () => {
  const { at, entries } = decodedRecord(1, Buffer.from(STORED_V1, "hex"));
  assert.is(at, 1_700_000_000_000);
  assert.equal(entries, ENTRIES);
});

stored("is the same when it is written today", () => {
  assert.is(Buffer.from(encodeRecord(1_700_000_000_000, ENTRIES)).toString("hex"), STORED_V1);
});

stored("folds to the same state", () => {
  const story = new Story();
  const entries = entriesOf(decodedRecord(1, Buffer.from(STORED_V1, "hex")));
  assert.equal(
    entries.map((entry) => describe(story.fold(entry))),
    [["ordered"], ["ordered"], ["noted"], ["advanced"], ["advanced"]],
  );
  assert.is(story.order("$a"), BASE + 1);
  assert.is(story.order("$b"), -1);
});

record.run();
stored.run();
