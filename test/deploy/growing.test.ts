/** From the broker of one machine to a cluster with more partitions, as docs/operations.md#growing says. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Body, startBus, startOn } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, fill, looks, startProcess, tidemark } from "../support/operated-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** More than before. */
const PARTITIONS = 5;

/** What a room looks like wherever its partition is: positions are of one partition. */
const elsewhere = (looked: readonly Body[]) => looked.map(({ position, timeline_position, ...look }) => look);

const growing = suite("growing");

growing("from one broker to three, and to more partitions, keeps every order and marker", async () => {
  using dir = temporaryDirectory();
  const file = join(dir.path, "log.gz");
  let before: readonly Body[];
  {
    await using bus = await startBus();
    await using _one = await startOn(bus, { partitions: 2 });
    await fill(bus.nc);
    before = await looks(bus.nc);
    await tidemark("export", "--all", "--out", file, "--nats", bus.url);
  }
  await using cluster = await startNatsCluster();
  await tidemark("import", file, "--partitions", `${PARTITIONS}`, "--nats", cluster.url("admin"));
  await using admin = await connectAs(cluster, "admin");
  await using running = startProcess(cluster, join(dir.path, "data"), PARTITIONS);
  await running.ready;
  assert.equal(elsewhere(await looks(admin.nc)), elsewhere(before));
  await tidemark("verify", "--all", "--nats", cluster.url("admin"));
  const jsm = await admin.nc.jetstreamManager();
  const replicas = async (n: number) => (await jsm.streams.info(`TIDEMARK_LOG_${n}`)).config.num_replicas;
  assert.equal(await Promise.all(Array.from({ length: PARTITIONS }, (_, n) => replicas(n))), Array(PARTITIONS).fill(3));
});

growing.run();
