/** `nats.conf` with its TLS blocks, and certificates of a private CA, made with openssl as docs/operations.md describes it. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as assert from "uvu/assert";
import { NATS_CONF } from "./nats-cluster.ts";

const openssl = promisify(execFile).bind(undefined, "openssl");

/**
 * Makes `ca.pem`, and `server.pem` with `server-key.pem` for servers on `localhost`. Servers use it as clients of each
 * other, too.
 */
export async function makeCertificates(dir: string): Promise<void> {
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
export async function confWithTls(dir: string): Promise<string> {
  const text = await readFile(NATS_CONF, "utf8");
  const uncommented = text.replace(/^ *# tls \{\n(?: *# .*\n)*? *# \}\n/gm, (block) =>
    block.replace(/^( *)# /gm, "$1"),
  );
  assert.is(uncommented.match(/^ *tls \{$/gm)?.length, 2, "one for clients, one for routes");
  const conf = join(dir, "nats.conf");
  await writeFile(conf, uncommented.replaceAll("/etc/nats/tls/", `${dir}/`));
  return conf;
}
