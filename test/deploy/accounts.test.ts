/** The accounts of `nats.conf` on one server: what outsiders can't do, and how copies of streams are made again. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connect } from "../../src/frontend/frontend.ts";
import { type Api, managerOf } from "../support/account-state.ts";
import { assertKeepsOutsidersOut, copied, startProcesses } from "../support/attacked-accounts.ts";
import { CLUSTER_LIMIT_MS, eventually, LIMIT_MS } from "../support/harness.ts";
import { NATS_CONF, type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, plainMessage } from "../support/operated-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const READER_PASSWORD = "testReaderPassword";
const ROOM = "!room:a";
const DELTAS = "TIDEMARK_DELTAS_0";
const EDGE: Api = "EDGE.JS.API";

/**
 * A server alone, with `nats.conf` but for the block of the cluster, and with the user `reader`: a front-end without the lines of
 * `$JS.API`, as docs/operations.md tells an operator to make one.
 */
async function startServer(): Promise<NatsCluster> {
  using dir = temporaryDirectory();
  const conf = join(dir.path, "nats.conf");
  const text = await readFile(NATS_CONF, "utf8");
  const alone = text.replace(/^cluster \{\n(?: .*\n|\n)*\}\n/m, "");
  const [frontend = ""] = /^ {6}\{\n {8}user: frontend\n(?:.*\n)*?^ {6}\}\n/m.exec(alone) ?? [];
  const reader = frontend
    .replace("user: frontend", "user: reader")
    .replace("$NATS_FRONTEND_PASSWORD", READER_PASSWORD)
    .replace("_INBOX_frontend", "_INBOX_reader")
    .replaceAll(/^.*\$JS\.API.*\n/gm, "");
  assert.match(reader, "tidemark.query");
  await writeFile(conf, alone.replace(frontend, frontend + reader));
  return await startNatsCluster({ conf, size: 1 });
}

const accounts = suite("accounts");

accounts("no outsider has the broker write to the log, the leases, the counts or the deltas", async () => {
  await using cluster = await startServer();
  const reader = { user: "reader", pass: READER_PASSWORD, inboxPrefix: "_INBOX_reader" };
  await assertKeepsOutsidersOut({ cluster, connectReader: () => cluster.connect("frontend", reader) });
});

accounts("what a front-end has deleted in its own account, the next worker that starts makes again", async () => {
  await using cluster = await startServer();
  await using admin = await connectAs(cluster, "admin");
  await using attacker = await connectAs(cluster, "frontend");
  const edge = await managerOf(admin.nc, EDGE);
  let before: number;
  {
    await using _running = await startProcesses({ cluster });
    await using frontend = await connect({ nats: cluster.url("gateway") });
    await frontend.events.send(ROOM, plainMessage("$1"));
    before = await copied(admin.nc, DELTAS, EDGE);
  }
  // A consumer's "there is no message" has no body, as a request to delete a stream has none.
  const consumer = { name: "none", ack_policy: "none", deliver_policy: "new", mem_storage: true };
  const body = JSON.stringify({ stream_name: DELTAS, config: consumer });
  await attacker.nc.request(`$JS.API.CONSUMER.CREATE.${DELTAS}.none`, body, { timeout: LIMIT_MS });
  attacker.nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${DELTAS}.none`, JSON.stringify({ batch: 1, no_wait: true }), {
    reply: `$JS.API.STREAM.DELETE.${DELTAS}`,
  });
  const isGone = () =>
    edge.streams.info(DELTAS).then(
      () => false,
      () => true,
    );
  await eventually(isGone, "the copy is gone");
  const own = await managerOf(admin.nc, "$JS.API");
  assert.is((await own.streams.info(DELTAS)).state.messages, before, "the deltas are not");

  await using _running = await startProcesses({ cluster });
  assert.is(await copied(admin.nc, DELTAS, EDGE), before);
});

accounts("a copy of a stream that was made again is made again, and its readers go on", async () => {
  await using cluster = await startServer();
  await using admin = await connectAs(cluster, "admin");
  const own = await managerOf(admin.nc, "$JS.API");
  const edge = await managerOf(admin.nc, EDGE);
  let running: AsyncDisposable = await startProcesses({ cluster });
  await using frontend = await connect({ nats: cluster.url("gateway") });
  await using view = await frontend.room(ROOM);
  for (const id of ["$1", "$2", "$3"]) {
    await frontend.events.send(ROOM, plainMessage(id));
    await eventually(() => view.order(id) !== undefined, `${id} arrives`);
  }
  await running[Symbol.asyncDispose]();
  const { created } = await edge.streams.info(DELTAS);
  await own.streams.delete(DELTAS);
  running = await startProcesses({ cluster });
  assert.is.not((await edge.streams.info(DELTAS)).created, created);
  await frontend.events.send(ROOM, plainMessage("$4"));
  await eventually(() => view.order("$4") !== undefined, "what the new stream has arrives", CLUSTER_LIMIT_MS);
  assert.ok((await edge.streams.info(DELTAS)).state.last_seq < 3, "it is the new stream's");

  const { created: kept } = await edge.streams.info(DELTAS);
  await running[Symbol.asyncDispose]();
  running = await startProcesses({ cluster });
  assert.is((await edge.streams.info(DELTAS)).created, kept, "a true copy stays");
  await running[Symbol.asyncDispose]();
});

accounts.run();
