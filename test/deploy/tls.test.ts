/**
 * `nats.conf` with its TLS blocks, as docs/operations.md describes it. The certificates are of a private CA, made here
 * with openssl.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import { decoded, LIMIT_MS, message, pack, receipt } from "../support/harness.ts";
import { NATS_CONF, startNatsCluster } from "../support/nats-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOM = "!room:a";
const openssl = promisify(execFile).bind(undefined, "openssl");

/**
 * Makes `ca.pem`, and `server.pem` with `server-key.pem` for servers on `localhost`. Servers use it as clients of each
 * other, too.
 */
async function makeCertificates(dir: string): Promise<void> {
  const file = (name: string) => join(dir, name);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await openssl(
    ["req", "-x509", ...newKey, "-subj", "/CN=test CA", "-keyout", file("ca-key.pem"), "-out", file("ca.pem")],
    {},
  );
  await openssl(
    [
      ...["req", "-x509", ...newKey, "-subj", "/CN=nats", "-CA", file("ca.pem"), "-CAkey", file("ca-key.pem")],
      ...["-addext", "subjectAltName=DNS:localhost", "-addext", "extendedKeyUsage=serverAuth,clientAuth"],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
      ...["-keyout", file("server-key.pem"), "-out", file("server.pem")],
    ],
    {},
  );
}

/** Returns a configuration in which both blocks are uncommented. */
async function confWithTls(dir: string): Promise<string> {
  const text = await readFile(NATS_CONF, "utf8");
  const uncommented = text.replace(/^ *# tls \{\n(?: *# .*\n)*? *# \}\n/gm, (block) =>
    block.replace(/^( *)# /gm, "$1"),
  );
  assert.is(uncommented.match(/^ *tls \{$/gm)?.length, 2, "one for clients, one for routes");
  const conf = join(dir, "nats.conf");
  await writeFile(conf, uncommented.replaceAll("/etc/nats/tls/", `${dir}/`));
  return conf;
}

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
