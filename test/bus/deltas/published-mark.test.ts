import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MARKS_BUCKET } from "../../../src/bus/contract/subjects.ts";
import { markNewLog, PublishedMark, publishedPosition, removeMark } from "../../../src/bus/deltas/published-mark.ts";
import { prepareBus } from "../../../src/bus/streams.ts";
import { type BusHarness, startBus } from "../../support/harness.ts";

const LOG = { partition: 0, lineage: "first" };

function markOn({ nc }: BusHarness, errors: unknown[] = []): PublishedMark {
  return new PublishedMark({ nc, log: () => LOG, failed: (error) => errors.push(error) });
}

const marks = suite("published marks");

marks(
  "a new log is published through its very beginning, and one that is filled by an import has no mark",
  async () => {
    await using bus = await startBus();
    await prepareBus(bus.nc, { partitions: 1 });
    assert.is(await publishedPosition(bus.nc, LOG), 0);
    await removeMark(bus.nc, 0);
    assert.is(await publishedPosition(bus.nc, LOG), undefined);

    await using other = await startBus();
    await prepareBus(other.nc, { partitions: 1, isImport: true });
    await prepareBus(other.nc, { partitions: 1 });
    assert.is(await publishedPosition(other.nc, LOG), undefined, "the log is not new any more");
  },
);

marks("a mark only grows, whichever of two owners writes it", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  const [one, other] = [markOn(bus), markOn(bus)];
  await one.raise(10);
  await other.raise(7);
  assert.is(await publishedPosition(bus.nc, LOG), 10);
  await other.raise(12);
  await one.raise(11);
  assert.is(await publishedPosition(bus.nc, LOG), 12);
  await Promise.all([20, 23, 21, 22].map((position, i) => (i % 2 === 0 ? one : other).raise(position)));
  assert.is(await publishedPosition(bus.nc, LOG), 23);
});

marks("a mark of another lineage, and a row that is no mark, count as none, and are replaced", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  await markOn(bus).raise(10);
  const later = { ...LOG, lineage: "second" };
  assert.is(await publishedPosition(bus.nc, later), undefined);
  await new PublishedMark({ nc: bus.nc, log: () => later, failed: (error) => assert.unreachable(String(error)) }).raise(
    3,
  );
  assert.is(await publishedPosition(bus.nc, later), 3);

  for (const text of ["", "3", "null", '{"v":2,"published":5,"lineage":"first"}', '{"v":1,"published":-1}', "{"]) {
    await bus.nc.jetstream().publish(`$KV.${MARKS_BUCKET}.partition.0`, text);
    assert.is(await publishedPosition(bus.nc, LOG), undefined, text);
    await markOn(bus).raise(4);
    assert.is(await publishedPosition(bus.nc, LOG), 4, text);
  }
});

marks("a mark that can't be written is written with the next one", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  await bus.jsm.streams.delete(`KV_${MARKS_BUCKET}`);
  const errors: unknown[] = [];
  const mark = markOn(bus, errors);
  await mark.raise(5);
  assert.is(errors.length, 1);
  assert.is(await publishedPosition(bus.nc, LOG), undefined);
  await prepareBus(bus.nc, { partitions: 1 });
  await markNewLog(bus.nc, 0);
  await mark.raise(6);
  assert.is(await publishedPosition(bus.nc, LOG), 6);
});

marks.run();
