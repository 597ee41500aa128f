/** `nats.conf` with its TLS blocks, as docs/operations.md describes it. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import { decoded, LIMIT_MS, message, pack, receipt } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { confWithTls, makeCertificates } from "../support/tls-conf.ts";

const ROOM = "!room:a";
const tls = suite("TLS");

tls("a cluster with TLS for clients and routes serves processes that trust its CA, and no others", async () => {
  using dir = temporaryDirectory();
  await makeCertificates(dir.path);
  const ca = join(dir.path, "ca.pem");
  // By name, because the client verifies no IP addresses.
  const places = { hosts: ["localhost", "localhost", "localhost"], prefix: () => [] };
  await using cluster = await startNatsCluster({ conf: await confWithTls(dir.path), ca, places });
  const run = (env: NodeJS.ProcessEnv): CliProcess =>
    runCli(["start", "--nats", cluster.url("admin"), "--data", join(dir.path, "data"), "--partitions", "1"], env);

  await using distrustful = run({});
  assert.is(await distrustful.ended, 1);
  assert.match(distrustful.stderr.join("\n"), /no connection to tls:.*certificate/);

  await using tidemark = run({ NODE_EXTRA_CA_CERTS: ca });
  await tidemark.ready;
  const [homeserver, frontend] = [await cluster.connect("homeserver"), await cluster.connect("frontend")];
  const delta = new Promise<unknown>((resolve) => {
    frontend.subscribe(`tidemark.client.0.${ROOM}.receipts`, { callback: (_, { data }) => resolve(decoded(data)) });
  });
  await frontend.flush();
  await homeserver.request(`tidemark.in.event.${ROOM}`, pack(message("$1")), { timeout: LIMIT_MS });
  await frontend.request(`tidemark.in.receipt.${ROOM}`, pack(receipt("@a:a", "$1")), { timeout: LIMIT_MS });
  assert.equal(Object.keys(((await delta) as { event: { content: object } }).event.content), ["$1"]);

  await Promise.all([homeserver, frontend].map((nc) => nc.close()));
});

tls.run();
