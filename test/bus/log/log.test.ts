import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { PlacedRecord } from "../../../actors/entry.ts";
import { encodeRecord, encodeStart } from "../../../src/bus/contract/record.ts";
import { baseAt, beginLog, lastSequence, logEnd, logStart, recordAt, roomsOf } from "../../../src/bus/log/log.ts";
import { prepareBus } from "../../../src/bus/streams.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { backfilled, live } from "../../support/entries.ts";
import { rejects, startBus } from "../../support/harness.ts";
import { appendRecord } from "../../support/records.ts";

const [A, B, C] = ["!a:a.org", "!b:a.org", "!c:a.org"] as [RoomId, RoomId, RoomId];

const records: readonly PlacedRecord[] = [
  { partition: 0, room: A, record: { sequence: 1, at: 10, entries: [live("$new")] } },
  { partition: 0, room: B, record: { sequence: 2, at: 20, entries: [live("$other")] } },
  { partition: 0, room: A, record: { sequence: 3, at: 30, entries: [backfilled("$old"), backfilled("$oldest")] } },
  { partition: 0, room: A, record: { sequence: 4, at: 40, entries: [backfilled("$old")] } },
];

/** What a log without a beginning begins with: its first message. */
const begun = (placed: PlacedRecord): PlacedRecord =>
  placed.record.sequence === 1 ? { ...placed, start: { base: 10 * 1_024, lineage: "", parent: null } } : placed;

const START = { base: 7_000, lineage: "one", parent: null };

const log = suite("log");

log("has an end, rooms, and records by sequence", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  assert.equal(await logEnd(bus.nc, 0), { sequence: 0, records: 0 });
  for (const record of records) await appendRecord(bus.nc, record);
  assert.equal(await logEnd(bus.nc, 0), { sequence: 4, records: 4 });
  assert.equal(await logEnd(bus.nc, 0, B), { sequence: 2, records: 1 });
  assert.equal(await logEnd(bus.nc, 0, C), { sequence: 0, records: 0 });
  assert.equal(Object.fromEntries(await roomsOf(bus.nc, 0)), { [A]: 3, [B]: 1 });
  for (const record of records) assert.equal(await recordAt(bus.nc, 0, record.record.sequence), begun(record));
  assert.is(await recordAt(bus.nc, 0, 5), undefined);
});

log("that isn't there is gone, not empty", async () => {
  await using bus = await startBus();
  assert.is((await roomsOf(bus.nc, 0)).size, 0);
  assert.is(await recordAt(bus.nc, 0, 1), undefined);
  for (const asked of [lastSequence(bus.nc, 0), logEnd(bus.nc, 0), logEnd(bus.nc, 0, A)]) {
    assert.match((await rejects(asked, "LOG_BROKEN")).message, "the log of partition 0 is gone");
  }
});

log("accepts a record only at its own sequence", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  await appendRecord(bus.nc, records[0]!);
  const refused = await rejects(appendRecord(bus.nc, records[0]!), "BUS_MISMATCH");
  assert.match(refused.message, "record 1 of partition 0 was not appended");
  await rejects(appendRecord(bus.nc, records[2]!), "BUS_MISMATCH");
  assert.equal(await logEnd(bus.nc, 0), { sequence: 1, records: 1 });
});

log("begins once, with its base and its lineage, on a subject of no room", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  assert.is(await logStart(bus.nc, 0), undefined);
  await beginLog(bus.nc, 0, { at: 5, start: START });
  await beginLog(bus.nc, 0, { at: 6, start: { ...START, lineage: "two" } });
  assert.equal(await logStart(bus.nc, 0), START);
  assert.equal(await logEnd(bus.nc, 0), { sequence: 1, records: 1 });
  assert.is((await roomsOf(bus.nc, 0)).size, 0);
  const record = { sequence: 1, at: 5, entries: [] };
  assert.equal(await recordAt(bus.nc, 0, 1), { partition: 0, room: undefined, record, start: START });
});

// I23
log("passes over what is no record, wherever it is, and begins without a base when that comes first", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  const bytes = encodeRecord(5, [live("$a")]);
  for (const [subject, payload] of [
    ["tidemark.log.0.!a:a%2Eorg", "no record"],
    ["tidemark.log.0.x", bytes],
    ["tidemark.log.0.start", encodeStart(5, START)],
    ["tidemark.log.0.!a:a%2Eorg", bytes],
  ] as const) {
    await bus.nc.jetstream().publish(subject, payload);
  }
  const placed = await Promise.all([1, 2, 3, 4].map((sequence) => recordAt(bus.nc, 0, sequence)));
  assert.equal(
    placed.map((each) => [each?.stray, each?.room, each?.record.entries.length]),
    [
      ["it is not MessagePack", undefined, 0],
      ["its subject names no room", undefined, 0],
      ["a log begins only once", undefined, 0],
      [undefined, A, 1],
    ],
  );
  const base = (await logStart(bus.nc, 0))!.base;
  assert.ok(Math.abs(base / 1_024 - Date.now()) < 60_000, `${base} is now, by the broker's clock`);
});

log("has a base with space for orders above it, whatever the clock says", () => {
  for (const at of [Number.NaN, Number.NEGATIVE_INFINITY, -1, 0]) assert.is(baseAt(at), 0);
  assert.is(baseAt(1.9), 1_024);
  for (const at of [8.64e15, 2 ** 53, Number.POSITIVE_INFINITY]) assert.is(baseAt(at), 2 ** 53 - 2 ** 50);
});

log.run();
