import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { PlacedRecord } from "../../../actors/entry.ts";
import { oldestKnownEvent } from "../../../src/bus/log/known-events.ts";
import { appendAt, lastSequence, logEnd, recordAt, roomsOf } from "../../../src/bus/log/log.ts";
import { prepareBus } from "../../../src/bus/streams.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { backfilled, history, live } from "../../support/given.ts";
import { rejects, startBus } from "../../support/harness.ts";

const [A, B, C, D] = ["!a:a.org", "!b:a.org", "!c:a.org", "!d:a.org"] as [RoomId, RoomId, RoomId, RoomId];

const records: readonly PlacedRecord[] = [
  { partition: 0, room: A, record: { sequence: 1, at: 10, entries: [live("$new")] } },
  { partition: 0, room: B, record: { sequence: 2, at: 20, entries: [live("$other")] } },
  { partition: 0, room: A, record: { sequence: 3, at: 30, entries: [backfilled("$old"), backfilled("$oldest")] } },
  { partition: 0, room: A, record: { sequence: 4, at: 40, entries: [backfilled("$old")] } },
];

const log = suite("log");

log("has an end, rooms, and records by sequence", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  assert.equal(await logEnd(bus.nc, 0), { sequence: 0, records: 0 });
  for (const record of records) await appendAt(bus.nc, record);
  assert.equal(await logEnd(bus.nc, 0), { sequence: 4, records: 4 });
  assert.equal(await logEnd(bus.nc, 0, B), { sequence: 2, records: 1 });
  assert.equal(await logEnd(bus.nc, 0, C), { sequence: 0, records: 0 });
  assert.equal(Object.fromEntries(await roomsOf(bus.nc, 0)), { [A]: 3, [B]: 1 });
  for (const record of records) assert.equal(await recordAt(bus.nc, 0, record.record.sequence), record);
  assert.is(await recordAt(bus.nc, 0, 5), undefined);
});

log("that was never created is empty, and gone for a worker, which creates it", async () => {
  await using bus = await startBus();
  assert.equal(await logEnd(bus.nc, 0), { sequence: 0, records: 0 });
  assert.equal(await logEnd(bus.nc, 0, A), { sequence: 0, records: 0 });
  assert.is((await roomsOf(bus.nc, 0)).size, 0);
  assert.is(await recordAt(bus.nc, 0, 1), undefined);
  assert.match((await rejects(lastSequence(bus.nc, 0), "LOG_BROKEN")).message, "the log of partition 0 is gone");
  assert.is(await oldestKnownEvent(bus.nc, 0, A), undefined);
});

log("accepts a record only at its own sequence", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  await appendAt(bus.nc, records[0]!);
  const refused = await rejects(appendAt(bus.nc, records[0]!), "BUS_MISMATCH");
  assert.match(refused.message, "record 1 of partition 0 was not appended");
  await rejects(appendAt(bus.nc, records[2]!), "BUS_MISMATCH");
  assert.equal(await logEnd(bus.nc, 0), { sequence: 1, records: 1 });
});

log("has the oldest event of a room: the last older one, not a repeated one", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  for (const record of records) await appendAt(bus.nc, record);
  const entries = [history("$h2"), live("$newest"), history("$h1"), history("$h2")];
  await appendAt(bus.nc, { partition: 0, room: D, record: { sequence: 5, at: 50, entries } });
  assert.is(await oldestKnownEvent(bus.nc, 0, D), "$h1");
  assert.is(await oldestKnownEvent(bus.nc, 0, A), "$oldest");
  assert.is(await oldestKnownEvent(bus.nc, 0, B), "$other");
  assert.is(await oldestKnownEvent(bus.nc, 0, C), undefined);
});

log.run();
