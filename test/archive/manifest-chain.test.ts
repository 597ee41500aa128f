/** Manifests: each built on the one that counts, or not at all, whoever else writes and wherever a writer stops. */
import { randomUUID } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { LogStart } from "../../actors/entry.ts";
import { FolderStore } from "../../src/archive/folder-store.ts";
import { type ArchivedSegment, encodeManifest, newSegmentName, parseManifest } from "../../src/archive/manifest.ts";
import { ManifestChain } from "../../src/archive/manifest-chain.ts";
import type { ObjectName, ObjectStore } from "../../src/archive/object-store.ts";
import { ensureBucket } from "../../src/bus/client/kv.ts";
import { ARCHIVE_BUCKET } from "../../src/bus/contract/subjects.ts";
import { TidemarkError } from "../../src/errors.ts";
import { failure } from "../support/failure.ts";
import { startBus } from "../support/harness.ts";
import { allOf } from "../support/object-stores.ts";

const START: LogStart = { base: 1_000, lineage: randomUUID(), parent: null };

const segment = (first: number, last: number): ArchivedSegment => ({
  name: newSegmentName({ partition: 0, ...START }),
  bytes: 1,
  index: { bytes: 1, digest: "0".repeat(64) },
  first,
  last,
  entries: 1,
});

async function start() {
  const bus = await startBus();
  await ensureBucket(bus.nc, ARCHIVE_BUCKET, { replicas: 1 });
  const folder = await FolderStore.open(`${bus.dir}/archive`);
  const open = ({ store = folder, ...start }: Partial<LogStart> & { store?: ObjectStore } = {}) =>
    ManifestChain.open({ nc: bus.nc, store, partition: 0, partitions: 8, start: { ...START, ...start } });
  return { bus, folder, open, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
}

/** A store whose writes do something else first, or instead. */
function instead(store: ObjectStore, put: (name: ObjectName, bytes: Uint8Array) => Promise<void>): ObjectStore {
  return {
    put,
    get: (name, range) => store.get(name, range),
    list: (prefix) => store.list(prefix),
    delete: (name) => store.delete(name),
  };
}

const numbersIn = async (store: ObjectStore) =>
  (await allOf(store.list(""))).map(({ name }) => Number(/manifests\/(\d{12})-/.exec(name)?.[1])).sort((a, b) => a - b);

const manifests = suite("manifests");

manifests("build on each other, and are there for whoever opens the archive", async () => {
  await using made = await start();
  const chain = await made.open();
  assert.is(chain.current, undefined);
  assert.is(chain.last, 0);
  assert.ok(await chain.append([segment(1, 5)]));
  assert.ok(await chain.append([segment(6, 6), segment(7, 20)]));
  assert.is(chain.last, 20);
  const { current } = await made.open();
  assert.equal(current, chain.current);
  assert.is(current!.number, 2);
  assert.equal(
    [current!.partitions, current!.base, current!.lineage, current!.parent],
    [8, 1_000, START.lineage, null],
  );
  assert.is(current!.previous!.number, 1);
  const [first] = (await allOf(made.folder.list(""))).map(({ name }) => name).sort();
  assert.is(encodeManifest(parseManifest((await made.folder.get(first!))!)!).digest, current!.previous!.digest);
  assert.equal(await numbersIn(made.folder), [1, 2]);
});

manifests("never fork: of two archivers, one goes on, and the other finds out before it names anything", async () => {
  await using made = await start();
  const one = await made.open();
  await one.append([segment(1, 5)]);
  const two = await made.open();
  assert.ok(await one.append([segment(6, 8)]));
  assert.not(await two.append([segment(6, 9)]));
  await two.refresh();
  assert.is(two.last, 8);
  assert.ok(await two.append([segment(9, 9)]));
  assert.not(await one.append([segment(9, 12)]));
  assert.is((await made.open()).last, 9);
});

manifests("are not named by one that stalled after it had begun", async () => {
  await using made = await start();
  const other = await made.open();
  let isFirst = true;
  const stalling = instead(made.folder, async (name, bytes) => {
    if (isFirst) {
      isFirst = false;
      await other.refresh();
      assert.ok(await other.append([segment(1, 3)]));
    }
    await made.folder.put(name, bytes);
  });
  const stalled = await made.open({ store: stalling });
  assert.not(await stalled.append([segment(1, 7)]));
  assert.is((await made.open()).last, 3);
  await stalled.refresh();
  assert.ok(await stalled.append([segment(4, 7)]));
  assert.equal(await numbersIn(made.folder), [1, 2, 3], "no number is used twice");
});

manifests("of an archiver that stopped at any step count for nothing, and the next one goes on", async () => {
  await using made = await start();
  const gone = new TidemarkError("ARCHIVE_UNAVAILABLE", "away");
  const before = await made.open();
  await before.append([segment(1, 2)]);
  const steps: ((name: ObjectName, bytes: Uint8Array) => Promise<void>)[] = [
    async () => {
      throw gone;
    },
    async (name, bytes) => {
      await made.folder.put(name, bytes);
      throw gone;
    },
    async (name, bytes) => made.folder.put(name, bytes.subarray(1)),
    async () => {},
  ];
  for (const [i, put] of steps.entries()) {
    const chain = await made.open({ store: instead(made.folder, put) });
    await failure(chain.append([segment(3 + i, 3 + i)]));
    assert.is((await made.open()).last, 2 + i);
    // The same one can go on, too.
    assert.ok(await (await made.open()).append([segment(3 + i, 3 + i)]));
  }
  const numbers = await numbersIn(made.folder);
  assert.is(new Set(numbers).size, numbers.length, "no number is used twice");
});

manifests("that are gone, or are not what was named, stop the archive", async () => {
  await using made = await start();
  await (await made.open()).append([segment(1, 2)]);
  const [object] = await allOf(made.folder.list(""));
  const bytes = (await made.folder.get(object!.name))!;
  await made.folder.put(object!.name, bytes.subarray(0, -1));
  assert.match(await failure(made.open()), /is not what was written/);
  await made.folder.delete(object!.name);
  assert.match(await failure(made.open()), /has no .*, which the broker names/);
  await made.folder.put(object!.name, bytes);
  assert.is((await made.open()).last, 2);
});

manifests("of a log are never gone on with by a broker that doesn't name one", async () => {
  await using made = await start();
  await (await made.open()).append([segment(1, 2)]);
  await made.bus.jsm.streams.purge(`KV_${ARCHIVE_BUCKET}`);
  assert.match(await failure(made.open()), /doesn't say which manifest of partition 0 counts/);
  assert.is((await made.open({ lineage: randomUUID() })).last, 0, "another log begins its own");
});

manifests("of another log's lineage are left alone", async () => {
  await using made = await start();
  await (await made.open()).append([segment(1, 2)]);
  const other = await made.open({ lineage: "A lineage / of another kind" });
  assert.is(other.last, 0);
  assert.ok(await other.append([segment(1, 9)]));
  assert.match(await failure(made.open()), /doesn't say which manifest/, "and is not taken for the one before");
});

manifests("name segments that follow each other, and no others", () => {
  const content = { number: 1, partition: 0, partitions: 8, ...START, previous: null };
  for (const segments of [[segment(1, 2), segment(4, 5)], [segment(2, 1)], [segment(1, 3), segment(3, 4)]]) {
    assert.throws(() => encodeManifest({ ...content, segments }), /don't follow each other/);
  }
  assert.is(parseManifest(Buffer.from("{}")), undefined);
  assert.is(parseManifest(Buffer.from("no JSON")), undefined);
});

manifests.run();
