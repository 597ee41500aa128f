/** The backup procedures of docs/operations.md, on a cluster. */
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Body } from "../support/harness.ts";
import { type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, fill, looks, startProcess, tidemark } from "../support/operated-cluster.ts";
import { backUpStream, restoreStream, type StreamBackup } from "../support/stream-backup.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const backups = suite("backups");

backups(
  "a backup of the streams, or of the log as a file, restores every order and marker on an empty cluster",
  async () => {
    using dir = temporaryDirectory();
    const file = join(dir.path, "log");
    const streams: StreamBackup[] = [];
    let before: Body;
    {
      await using cluster = await startNatsCluster();
      await using running = startProcess(cluster, join(dir.path, "data"));
      await running.ready;
      await using admin = await connectAs(cluster, "admin");
      await fill(admin.nc);
      before = await looks(admin.nc);
      // While Tidemark is running.
      for (const stream of ["KV_tidemark", "TIDEMARK_LOG_0", "TIDEMARK_LOG_1"]) {
        streams.push(await backUpStream(admin.nc, stream));
      }
      await tidemark("export", "--all", "--out", file, "--nats", cluster.url("admin"));
    }
    const restored = async (way: string, restore: (cluster: NatsCluster, admin: NatsConnection) => Promise<void>) => {
      await using cluster = await startNatsCluster();
      await using admin = await connectAs(cluster, "admin");
      await restore(cluster, admin.nc);
      const { config } = await (await admin.nc.jetstreamManager()).streams.info("TIDEMARK_LOG_0");
      assert.is(config.num_replicas, 3, way);
      // With an empty data directory.
      await using running = startProcess(cluster, join(dir.path, `data of ${way}`));
      await running.ready;
      assert.equal(await looks(admin.nc), before, way);
    };
    await restored("streams", async (_, admin) => {
      for (const backup of streams) await restoreStream(admin, backup);
    });
    await restored("export", (cluster) => tidemark("import", file, "--nats", cluster.url("admin")));
  },
);

backups.run();
