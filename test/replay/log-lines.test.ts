/** The format of exported logs. */
import { crc32 as zlibCrc32 } from "node:zlib";
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry, LogRecord, PlacedRecord } from "../../actors/entry.ts";
import { Room } from "../../actors/room/room.ts";
import { encodeRecord } from "../../src/bus/contract/record.ts";
import { crc32 } from "../../src/replay/crc32.ts";
import { DamagedLogError, LogLineReader, LogLineWriter } from "../../src/replay/log-lines.ts";
import { Refold } from "../../src/replay/refold.ts";
import { history as histories, USERS } from "../support/arbitraries.ts";
import { acl, inThread, live, member, receipt, state } from "../support/entries.ts";
import { BOB, ROOM } from "../support/example-room.ts";
import { check } from "../support/property.ts";
import { decodedRecord, entriesOf, recordsOf } from "../support/records.ts";
import { stateOf } from "../support/room-state.ts";

const HEADER = { partitions: 8, scope: { room: ROOM }, redacted: false };

const START = { base: 1_000, lineage: "one", parent: null };

function written(records: readonly LogRecord[], redact = false): string[] {
  const lines = new LogLineWriter(redact);
  const text = [lines.header({ ...HEADER, redacted: redact })];
  text.push(lines.record({ partition: 3, room: undefined, record: { sequence: 1, at: 1, entries: [] }, start: START }));
  for (const record of records) text.push(lines.record({ partition: 3, room: ROOM, record }));
  text.push(lines.end());
  return text.join("").split("\n").slice(0, -1);
}

function read(lines: readonly string[]): PlacedRecord[] {
  const reader = new LogLineReader();
  const all = lines.flatMap((line) => reader.read(line) ?? []);
  reader.finish();
  return all.filter(({ room }) => room !== undefined);
}

function damage(lines: readonly string[]): [line: number, reason: string] {
  try {
    read(lines);
  } catch (error) {
    assert.instance(error, DamagedLogError);
    const { line, message } = error as DamagedLogError;
    return [line, message.slice(message.indexOf(": ") + 2)];
  }
  throw new Error("it was read");
}

const record = (sequence: number, ...entries: Entry[]): LogRecord => ({ sequence, at: 1_000, entries });
const three = [record(1, live("$1")), record(2, live("$2"), receipt(BOB, "$1")), record(5, live("$3"))];

const logLines = suite("log lines");

logLines("preserve every record", () => {
  check(
    fc.property(histories, (positioned) => {
      const records = recordsOf(positioned);
      assert.equal(
        read(written(records)).map(({ record }) => record),
        records,
      );
      assert.equal(written(read(written(records)).map(({ record }) => record)), written(records));
    }),
  );
});

logLines("preserve every content that an event can have", () => {
  const json = fc.jsonValue({ maxDepth: 4 });
  // Ingress refuses this key.
  const content = fc
    .dictionary(fc.string({ unit: "binary" }), json)
    .filter((value) => !JSON.stringify(value).includes("__proto__"));
  check(
    fc.property(content, (content) => {
      // As ingress writes it to the log.
      const stored = encodeRecord(1_000, [live("$1", { content: JSON.parse(JSON.stringify(content)) })]);
      const [line] = read(written([decodedRecord(1, stored)]));
      assert.equal(Buffer.from(encodeRecord(line!.record.at, entriesOf(line!.record))), Buffer.from(stored));
    }),
    { numRuns: 500 },
  );
});

logLines("report the first damaged line", () => {
  const lines = written(three);
  const swapped = (i: number, j: number) => {
    const copy = [...lines];
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
    return copy;
  };
  const checksum = "its checksum is wrong: it was changed, or lines are missing before it";
  assert.equal(damage(lines.map((line) => line.replace("$2", "$X"))), [4, checksum]);
  assert.equal(damage(lines.filter((_, i) => i !== 3)), [4, checksum]);
  assert.equal(damage(swapped(2, 3)), [3, checksum]);
  assert.equal(damage([...lines.slice(0, 3), lines[2]!, ...lines.slice(3)]), [4, checksum]);
  assert.equal(damage(lines.slice(0, -1)), [6, "the file is truncated here"]);
  assert.equal(damage([...lines.slice(0, 4), lines[4]!.slice(0, 40)]), [5, "it is truncated"]);
  assert.equal(damage([...lines, lines[3]!]), [7, "there is a line after the last one"]);
  assert.equal(damage([]), [1, "the file is empty"]);
  assert.equal(damage(["hello"]), [1, "this is not a log that tidemark exported"]);
});

logLines("detect every change of a single character", () => {
  const lines = written(three);
  check(
    fc.property(fc.nat(), fc.nat(), fc.constantFrom("x", "0", "}", "é"), (line, column, char) => {
      const at = line % lines.length;
      const place = column % lines[at]!.length;
      fc.pre(lines[at]![place] !== char);
      const changed = [...lines];
      changed[at] = lines[at]!.slice(0, place) + char + lines[at]!.slice(place + 1);
      assert.is(damage(changed)[0], at + 1);
    }),
    { numRuns: 400 },
  );
});

/** Lines of any content with correct checksums. */
function signed(...values: object[]): string[] {
  let crc = 0;
  return values.map((value) => {
    const text = JSON.stringify(value).slice(0, -1);
    crc = crc32(text, crc);
    return `${text},"crc":"${crc.toString(16).padStart(8, "0")}"}`;
  });
}

const HEAD = { tidemark: "log", v: 2, partitions: 8, scope: { all: true }, redacted: false };
const BEGIN = { partition: 3, at: 1, ...START };
const LINE = { partition: 3, sequence: 1, room: ROOM, at: 1, entries: [live("$1")] };
const refused: readonly (readonly [what: string, lines: object[], reason: RegExp])[] = [
  ["another version", [{ ...HEAD, v: 1 }], /^the file's version is 1, this Tidemark reads 2$/],
  ["another file", [{ hello: 1 }], /not a log that tidemark exported/],
  ["no partition count", [{ ...HEAD, partitions: 0 }], /partition count/],
  ["an invalid room id", [HEAD, BEGIN, { ...LINE, room: "no" }], /its room id is invalid/],
  ["a partition beyond the count", [HEAD, BEGIN, { ...LINE, partition: 8 }], /its partition is invalid/],
  ["a sequence that does not grow", [HEAD, BEGIN, LINE, LINE], /its sequence 1 does not follow/],
  ["no clock", [HEAD, BEGIN, { ...LINE, at: "now" }], /its clock is missing/],
  ["no entries", [HEAD, BEGIN, { ...LINE, entries: [] }], /its entries are missing/],
  ["an unknown entry", [HEAD, BEGIN, { ...LINE, entries: [live("$1"), [9, {}]] }], /its entry 1 is invalid/],
  ["an event without an id", [HEAD, BEGIN, { ...LINE, entries: [[0, { type: "t" }]] }], /its entry 0/],
  ["a partition without its base", [HEAD, LINE], /its partition has no base before it/],
  ["a base after the first record", [HEAD, BEGIN, LINE, BEGIN], /its partition has begun before/],
  ["a base that is none", [HEAD, { ...BEGIN, base: -1 }], /its base is invalid/],
  ["a base beyond all orders", [HEAD, { ...BEGIN, base: Number.MAX_SAFE_INTEGER }], /its base is invalid/],
  ["a lineage that is none", [HEAD, { ...BEGIN, lineage: 5 }], /its lineage is missing/],
  ["a wrong count at the end", [HEAD, BEGIN, LINE, { records: 2, entries: 1 }], /it counts 2 records, the file has 1/],
];
for (const [what, lines, reason] of refused) {
  logLines(`refuse ${what}`, () => {
    const [line, message] = damage(signed(...lines));
    assert.is(line, lines.length);
    assert.match(message, reason);
  });
}

logLines("can be written without message content", () => {
  const redact = (entries: Entry[]) => read(written([record(1, ...entries)], true))[0]!.record.entries;
  const secret = { content: { body: "secret", "m.mentions": { user_ids: [BOB] } }, unsigned: { secret: 1 } };
  assert.not.match(JSON.stringify(redact([live("$1", secret)])), "secret");
  assert.not.match(JSON.stringify(redact([live("$1", secret)])), "mentions");
  const essential = [
    live("$j", member(BOB, "join")),
    state("$a", acl({ allow: ["*"], deny: ["evil"], allow_ip_literals: false })),
    live("$t", { content: { "m.relates_to": { rel_type: "m.thread", event_id: "$1" } } }),
    live("$r", { type: "m.room.redaction", content: { redacts: "$1" } }),
    live("$s", { type: "m.room.redaction", redacts: "$1", content: {} }),
    receipt(BOB, "$1", { thread: "main" }),
  ];
  assert.equal(redact(essential), essential);
  assert.equal(redact([live("$t", inThread("$1"))]), [
    live("$t", { content: { "m.relates_to": { rel_type: "m.thread", event_id: "$1" } } }),
  ]);
});

logLines("without content fold to the same room", () => {
  check(
    fc.property(histories, (positioned) => {
      const records = recordsOf(positioned);
      const whole = new Refold();
      const redacted = new Refold();
      for (const record of records) whole.fold({ partition: 0, room: ROOM, record });
      for (const { record } of read(written(records, true))) redacted.fold({ partition: 0, room: ROOM, record });
      const roomIn = ({ rooms }: Refold) => rooms.get(ROOM) ?? new Room(ROOM, 0);
      assert.equal(stateOf(roomIn(redacted), USERS), stateOf(roomIn(whole), USERS));
    }),
  );
});

logLines("have the same checksum as in zlib", () => {
  check(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), (before, text) => {
      assert.is(crc32(text, crc32(before, 0)), zlibCrc32(before + text));
    }),
  );
});

logLines.run();
