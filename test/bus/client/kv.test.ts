import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bucket, ensureBucket, openBucket, type Row } from "../../../src/bus/client/kv.ts";
import { eventually, rejects, startBus } from "../../support/harness.ts";

const kv = suite("bucket");

kv("stores and deletes rows by key", async () => {
  await using bus = await startBus();
  const bucket = await ensureBucket(bus.nc, "rows", { replicas: 1 });
  assert.is(await bucket.put("a", "one"), 1);
  await bucket.put("b", "two");
  await bucket.put("a", "three");
  assert.is(await bucket.get("a"), "three");
  assert.is(await bucket.get("c"), undefined);
  assert.equal((await bucket.rows()).map(({ key, text, revision }) => [key, text, revision]).sort(), [
    ["a", "three", 3],
    ["b", "two", 2],
  ]);
  assert.is(await bucket.deleteAfter("a", 3, "left behind"), 4);
  assert.is(await bucket.get("a"), undefined);
  const { deleted, text } = (await bucket.row("a"))!;
  assert.equal([deleted, text], [true, "left behind"]);
  assert.equal(
    (await bucket.rows()).map(({ key }) => key),
    ["b"],
  );
});

kv("accepts a write only after the revision that the writer has seen", async () => {
  await using bus = await startBus();
  const bucket = await ensureBucket(bus.nc, "rows", { replicas: 1 });
  assert.is(await bucket.putAfter("a", 0, "first"), 1);
  assert.is(await bucket.putAfter("a", 0, "second"), undefined);
  assert.is(await bucket.deleteAfter("a", 7), undefined);
  assert.is(await bucket.putAfter("a", 1, "second"), 2);
  assert.is(await bucket.get("a"), "second");
});

kv("is compatible with the client library", async () => {
  await using bus = await startBus();
  const bucket = await ensureBucket(bus.nc, "rows", { replicas: 1, ttlMs: 60_000 });
  const theirs = await bus.nc.jetstream().views.kv("rows", { history: 1 });
  await bucket.put("a", "ours");
  assert.is((await theirs.get("a"))?.string(), "ours");
  await theirs.put("a", "theirs");
  assert.is(await bucket.get("a"), "theirs");
  await theirs.delete("a");
  assert.is(await bucket.get("a"), undefined);
  assert.is((await theirs.status()).ttl, 60_000);
});

kv("can be watched from its newest rows on, deletions included", async () => {
  await using bus = await startBus();
  const bucket = await ensureBucket(bus.nc, "rows", { replicas: 1 });
  await bucket.put("a", "old");
  await bucket.put("a", "new");
  await bucket.put("b", "gone");
  await bucket.deleteAfter("b", 3);
  const rows: Row[] = [];
  const watch = bucket.watch((row) => rows.push(row));
  assert.is(await watch.opened, 2);
  await eventually(() => rows.length === 2, "the newest rows");
  await bucket.put("c", "later");
  await eventually(() => rows.length === 3, "the later one");
  watch.close();
  assert.equal(
    rows.map(({ key, text, deleted }) => [key, text, deleted]),
    [
      ["a", "new", false],
      ["b", "", true],
      ["c", "later", false],
    ],
  );
});

kv("that doesn't exist has no rows, can't be opened, and is not created by reading", async () => {
  await using bus = await startBus();
  const bucket = new Bucket(bus.nc, "rows");
  assert.is(await bucket.get("a"), undefined);
  assert.equal(await bucket.rows(), []);
  await rejects(openBucket(bus.nc, "rows"), "BUS_UNAVAILABLE");
  await rejects(bucket.put("a", "one"), "BUS_UNAVAILABLE");
  assert.equal(await bus.jsm.streams.list().next(), []);
});

kv.run();
