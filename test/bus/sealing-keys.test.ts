/** The keys that gateways share. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ensureBucket } from "../../src/bus/client/kv.ts";
import { SealingKeys } from "../../src/bus/sealing-keys.ts";
import { SEALING_KEY_AGE_MS, SEALING_KEYS_MAX } from "../../src/limits.ts";
import { rejects, startBus } from "../support/harness.ts";

const keys = suite("sealing keys");

interface StoredKey {
  readonly id: number;
  readonly key: string;
  madeAt: number;
}

async function bucketOf(bus: Awaited<ReturnType<typeof startBus>>) {
  const bucket = await ensureBucket(bus.nc, "tidemark_keys", { replicas: 1 });
  const stored = async (): Promise<StoredKey[]> => JSON.parse((await bucket.get("sync")) ?? "[]");
  return { stored, store: (all: StoredKey[]) => bucket.put("sync", JSON.stringify(all)) };
}

keys("are the same for all gateways, also for those that start at the same time", async () => {
  await using bus = await startBus();
  await bucketOf(bus);
  const all = await Promise.all([1, 2, 3].map(() => SealingKeys.open(bus.nc)));
  const [first] = all;
  for (const gateway of all) assert.equal(gateway.newest, first!.newest);
  assert.is(first!.newest.key.length, 32);
  for (const gateway of all) gateway.close();
});

keys("get a new one when the newest is a day old, and other gateways find it when they need it", async () => {
  await using bus = await startBus();
  const { stored, store } = await bucketOf(bus);
  const old = await SealingKeys.open(bus.nc);
  const [only] = await stored();
  await store([{ ...only!, madeAt: Date.now() - SEALING_KEY_AGE_MS - 1_000 }]);
  const young = await SealingKeys.open(bus.nc);
  assert.is(young.newest.id, old.newest.id + 1);
  const found = await young.find(old.newest.id);
  assert.equal([found?.id, found?.key], [old.newest.id, old.newest.key]);
  const [added, invented] = await Promise.all([old.find(young.newest.id), old.find(77)]);
  assert.equal([added?.id, added?.key, invented], [young.newest.id, young.newest.key, undefined]);
  for (const gateway of [old, young]) gateway.close();
});

keys("are bounded in number, whatever the clocks of gateways say", async () => {
  await using bus = await startBus();
  const { stored, store } = await bucketOf(bus);
  for (let made = 0; made < SEALING_KEYS_MAX + 2; made++) {
    await store((await stored()).map((key) => ({ ...key, madeAt: 0 })));
    (await SealingKeys.open(bus.nc)).close();
  }
  assert.is((await stored()).length, SEALING_KEYS_MAX);
  const ahead = (await stored()).map((key) => ({ ...key, madeAt: Date.now() + 10 * SEALING_KEY_AGE_MS }));
  await store(ahead);
  const gateway = await SealingKeys.open(bus.nc);
  assert.is(gateway.newest.id, ahead.at(-1)!.id, "a key of the future is not replaced at once");
  gateway.close();
});

keys("that no gateway wrote are replaced, and a missing bucket is named", async () => {
  await using bus = await startBus();
  await rejects(SealingKeys.open(bus.nc), "BUS_UNAVAILABLE");
  const bucket = await ensureBucket(bus.nc, "tidemark_keys", { replicas: 1 });
  const short = JSON.stringify([{ id: 1, key: "c2hvcnQ=", madeAt: Date.now() }]);
  for (const garbage of ["banana", "{}", '[{"id":-1}]', '{"type":"io.nats.jetstream.api.v1"}', short]) {
    await bucket.put("sync", garbage);
    const gateway = await SealingKeys.open(bus.nc);
    assert.is(gateway.newest.key.length, 32, garbage);
    gateway.close();
  }
});

keys("whose row is deleted are written again by a gateway that knows them", async () => {
  await using bus = await startBus();
  const { stored } = await bucketOf(bus);
  const gateway = await SealingKeys.open(bus.nc);
  const { newest } = gateway;
  for (const remove of [
    () => bus.jsm.streams.purge("KV_tidemark_keys"),
    async () => {
      await bus.jsm.streams.delete("KV_tidemark_keys");
      await bucketOf(bus);
    },
  ]) {
    await remove();
    assert.is(await gateway.find(77), undefined, "it looks for a key that nobody has");
    assert.equal(gateway.newest, newest);
    assert.is((await stored()).length, 1);
  }
  const other = await SealingKeys.open(bus.nc);
  assert.equal(other.newest, newest);
  for (const each of [gateway, other]) each.close();
});

keys.run();
