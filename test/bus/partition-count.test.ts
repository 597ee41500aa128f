import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  agreeOnFederationShards,
  agreeOnPartitionCount,
  awaitPartitionCount,
  awaitStreams,
  federationShards,
  partitionCount,
  storedPartitionCount,
} from "../../src/bus/partition-count.ts";
import { rejects, startBus } from "../support/harness.ts";

const NO_LOGS = "no Tidemark has made its logs on this broker yet: start a worker first";

const count = suite("partition count");

count("is the one that the first process wrote", async () => {
  await using bus = await startBus();
  const counts = await Promise.all([1, 2, 3].map(() => agreeOnPartitionCount(bus.nc, undefined, 1)));
  assert.equal(counts, [8, 8, 8]);
  assert.is(await partitionCount(bus.nc), 8);
  assert.is(await awaitPartitionCount(bus.nc), 8);
});

count("is refused with the same message by every process that requires another one", async () => {
  await using bus = await startBus();
  assert.is(await agreeOnPartitionCount(bus.nc, 2, 1), 2);
  assert.is(await awaitPartitionCount(bus.nc, 2), 2);
  const messages = [
    (await rejects(agreeOnPartitionCount(bus.nc, 3, 1), "BUS_MISMATCH")).message,
    (await rejects(awaitPartitionCount(bus.nc, 3), "BUS_MISMATCH")).message,
  ];
  assert.is(new Set(messages).size, 1);
  assert.match(messages[0]!, "the logs were made with 2 partitions, not 3");
});

count("is missing if no worker has run, and awaited if one starts", async () => {
  await using bus = await startBus();
  assert.is(await storedPartitionCount(bus.nc), undefined);
  assert.is((await rejects(partitionCount(bus.nc), "BUS_UNAVAILABLE")).message, NO_LOGS);
  const waiting = awaitPartitionCount(bus.nc);
  await agreeOnPartitionCount(bus.nc, 4, 1);
  assert.is(await waiting, 4);
});

count("that is malformed is refused by every reader", async () => {
  await using bus = await startBus();
  const bucket = await bus.nc.jetstream().views.kv("tidemark", { history: 1 });
  for (const garbage of ["banana", "", "0", "-1", "2.5", "100000000"]) {
    await bucket.put("partitions", garbage);
    for (const read of [storedPartitionCount, partitionCount, awaitPartitionCount]) {
      assert.match((await rejects(read(bus.nc), "BUS_MISMATCH")).message, "key partitions of the bucket tidemark");
    }
  }
});

count("is waited for by a reader until the limit", async () => {
  await using bus = await startBus();
  const waiting = awaitStreams(AbortSignal.timeout(60_000), () => partitionCount(bus.nc));
  await rejects(
    awaitStreams(AbortSignal.abort(), () => partitionCount(bus.nc)),
    "BUS_UNAVAILABLE",
  );
  await agreeOnPartitionCount(bus.nc, 4, 1);
  assert.is(await waiting, 4);
});

const shards = suite("shard count of federation");

shards("is fixed when the streams are made, whatever the default is later", async () => {
  await using bus = await startBus();
  assert.is((await rejects(federationShards(bus.nc), "BUS_UNAVAILABLE")).message, NO_LOGS);
  const bucket = await bus.nc.jetstream().views.kv("tidemark", { history: 1 });
  await bucket.put("federation_shards", "7");
  assert.is(await agreeOnFederationShards(bus.nc, 1), 7);
  await bucket.put("federation_shards", "none");
  await rejects(federationShards(bus.nc), "BUS_MISMATCH");
});

shards("is the one that the first process wrote", async () => {
  await using bus = await startBus();
  assert.equal(await Promise.all([1, 2, 3].map(() => agreeOnFederationShards(bus.nc, 1))), [4, 4, 4]);
  assert.is(await federationShards(bus.nc), 4);
});

count.run();
shards.run();
