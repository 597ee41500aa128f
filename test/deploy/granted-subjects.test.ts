/** What the permissions of `nats.conf` mean for running processes: what they can be made to do, and what more partitions need. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connect } from "../../src/frontend/frontend.ts";
import { BASE, decoded, eventually, LIMIT_MS, message, pack } from "../support/harness.ts";
import { NATS_CONF, startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, startRole } from "../support/operated-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const OPERATIONS = join(import.meta.dirname, "../../docs/operations.md");
const ROOM = "!room:a";

const granted = suite("granted subjects");

granted("no request makes a process publish on a subject that its sender may not use", async () => {
  await using cluster = await startNatsCluster();
  await using _worker = await startRole(cluster, "worker", { partitions: 1 });
  await using _ingress = await startRole(cluster, "ingress");
  await using homeserver = await connectAs(cluster, "homeserver");
  await using frontend = await connectAs(cluster, "frontend");
  // If ingress and worker replied there, the replies would be records that no version can read.
  homeserver.nc.publish(`tidemark.in.event.${ROOM}`, pack(message("$1")), { reply: `tidemark.log.0.${ROOM}` });
  frontend.nc.publish(`tidemark.query.${ROOM}`, pack({ op: "unread", user_id: "@a:a" }), {
    reply: `tidemark.client.0.${ROOM}.receipts`,
  });
  await Promise.all([homeserver.nc.flush(), frontend.nc.flush()]);
  const [position] = decoded(
    (await homeserver.nc.request(`tidemark.in.event.${ROOM}`, pack(message("$2")), { timeout: LIMIT_MS })).data,
  ).positions;
  const isFolded = async () => {
    const asked = await frontend.nc.request(`tidemark.query.${ROOM}`, pack({ op: "orders", event_ids: ["$1"] }));
    return decoded(asked.data).orders.$1 === BASE + 1;
  };
  await eventually(isFolded, "the event without a reply is folded");
  await using admin = await connectAs(cluster, "admin");
  const { streams } = await admin.nc.jetstreamManager();
  const { state: log } = await streams.info("TIDEMARK_LOG_0");
  assert.is(log.last_seq, Math.floor(position / 1024), "the log has the two events and nothing else");
  const { state } = await streams.info("TIDEMARK_DELTAS_0", { subjects_filter: ">" });
  assert.is(state.subjects?.[`tidemark.client.0.${ROOM}.receipts`], undefined);
});

granted(
  "with sixteen partitions, a front-end reads all of them with the permissions that docs/operations.md adds",
  async () => {
    using dir = temporaryDirectory();
    const conf = join(dir.path, "nats.conf");
    await writeFile(conf, await readFile(NATS_CONF, "utf8"));
    const script = /for n in \$\(seq 15 -1 8\).*?\n *done/s.exec(await readFile(OPERATIONS, "utf8"))?.[0];
    assert.ok(script, "the commands of docs/operations.md");
    await promisify(execFile)("/bin/sh", ["-ec", script], { cwd: dir.path });
    await using cluster = await startNatsCluster({ conf });
    await using _worker = await startRole(cluster, "worker", { partitions: 16 });
    await using _ingress = await startRole(cluster, "ingress");
    for (const user of ["frontend", "gateway"] as const) {
      await using frontend = await connect({ nats: cluster.url(user) });
      const begun: number[] = [];
      for (let partition = 0; partition < 16; partition++) {
        await frontend.follow(partition, {
          begin: () => begun.push(partition),
          delta: () => {},
          lost: () => {},
          restarted: () => {},
        });
      }
      assert.is(begun.length, 16, user);
    }
  },
);

granted.run();
