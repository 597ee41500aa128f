/**
 * Exported logs that anybody may have written: a file is read as a whole, or refused with the line, whatever is in it. The
 * checksums are right, as those of somebody who means harm would be.
 */

import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { isWholeEntry } from "../../src/bus/contract/log-entry.ts";
import { encodeRecord } from "../../src/bus/contract/record.ts";
import { crc32 } from "../../src/replay/crc32.ts";
import { DamagedLogError, LogLineReader } from "../../src/replay/log-lines.ts";
import { Refold } from "../../src/replay/refold.ts";
import { mutated, mutationAt, pathsOf } from "../support/mutations.ts";
import { check } from "../support/property.ts";
import { decodedRecord, entriesOf, session } from "../support/records.ts";

/** A file of some records of the recorded session, as values. */
const ROOM = session()[0]!.room;
const EVENT_KEYS = ["event_id", "type", "sender", "origin_server_ts", "content", "state_key", "room_id"];
const entries = session()
  .filter(({ room }) => room === ROOM)
  .slice(0, 12)
  .map(({ kind, body }) =>
    kind === "event"
      ? [0, Object.fromEntries(Object.entries(body).filter(([key]) => EVENT_KEYS.includes(key)))]
      : [2, body.user_id, body.receipt_type, body.event_id, body.thread_id ?? null, body.ts, null],
  );
const FILE = [
  { tidemark: "log", v: 2, partitions: 8, scope: { room: ROOM }, redacted: false },
  { partition: 3, at: 1_000, base: 1_000, lineage: "one", parent: null },
  ...entries.map((entry, i) => ({ partition: 3, sequence: i + 1, room: ROOM, at: 1_000 + i, entries: [entry] })),
  { records: entries.length, entries: entries.length },
];

/** Adds the right checksums. */
function written(lines: readonly unknown[]): string[] {
  let crc = 0;
  return lines.map((line) => {
    const text = (JSON.stringify(line) ?? "{}").slice(0, -1);
    crc = crc32(text, crc);
    return `${text},"crc":"${crc.toString(16).padStart(8, "0")}"}`;
  });
}

/** Reads a file. Returns how many records it has, or the line at which it is refused. */
function outcome(lines: readonly string[]): { records: number } | { line: number } {
  const reader = new LogLineReader();
  const refold = new Refold();
  let records = 0;
  try {
    for (const line of lines) {
      const read = reader.read(line);
      if (read === undefined) continue;
      if (read.room !== undefined) records++;
      const { sequence, at, entries } = read.record;
      // null stands for what was no entry in the log.
      const valid = entries.filter((entry) => entry !== null);
      for (const entry of valid) assert.ok(isWholeEntry(entry));
      if (valid.length > 0)
        assert.equal(entriesOf(decodedRecord(sequence, encodeRecord(at, valid))).length, valid.length);
      refold.fold(read);
    }
    reader.finish();
  } catch (error) {
    assert.instance(error, DamagedLogError, String(error));
    return { line: (error as DamagedLogError).line };
  }
  return { records };
}

const files = suite("fuzzed log files");

files("of the session are read", () => {
  assert.equal(outcome(written(FILE)), { records: entries.length });
});

files("that are changed at one place are read as a whole, or refused with the line", () => {
  const paths = pathsOf(FILE).filter((path) => path.length > 1);
  check(
    fc.property(mutationAt(paths), (mutation) => {
      const lines = written(mutated(FILE, mutation) as unknown[]);
      const result = outcome(lines);
      const changed = Number(mutation.path[0]) + 1;
      // What a later line must agree with is noticed there: the sequence before it, and the counts at the end.
      if ("line" in result) assert.ok(result.line >= changed, JSON.stringify({ result, path: mutation.path }));
      else assert.is(result.records, entries.length);
    }),
    { numRuns: 1_000 },
  );
});

files("of any text are refused", () => {
  const line = fc.oneof(fc.string({ unit: "binary" }), fc.json(), fc.constantFrom(...written(FILE)));
  check(
    fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
      assert.ok("line" in outcome(lines) || lines.length === FILE.length);
    }),
    { numRuns: 1_000 },
  );
});

files.run();
