/** A proxy in front of a homeserver that speaks TLS. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { CLUSTER_LIMIT_MS, eventually } from "../support/harness.ts";
import { freePort, listening } from "../support/scripted-homeserver.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { makeCertificates } from "../support/tls-conf.ts";

const tls = suite("a homeserver with TLS");

tls("is reached if its certificate is trusted, and for nobody else", async () => {
  using dir = temporaryDirectory();
  await makeCertificates(dir.path);
  const file = (name: string) => readFile(join(dir.path, name));
  const hosts: (string | undefined)[] = [];
  const server = createServer(
    { key: await file("server-key.pem"), cert: await file("server.pem") },
    (request, response) => {
      hosts.push(request.headers.host);
      response.end("over TLS");
    },
  );
  await using homeserver = await listening(server);
  const { port } = new URL(homeserver.url);
  for (const [environment, status] of [
    [{ NODE_EXTRA_CA_CERTS: join(dir.path, "ca.pem") }, 200],
    [{}, 502],
  ] as const) {
    const http = `127.0.0.1:${await freePort()}`;
    // A proxy alone passes requests on before there is a broker.
    await using _proxy = runCli(
      [
        "start",
        "--roles",
        "proxy",
        "--nats",
        "nats://127.0.0.1:1",
        "--http",
        http,
        "--homeserver",
        `https://localhost:${port}`,
      ],
      environment,
    );
    let answer: Response | undefined;
    await eventually(
      async () => {
        answer = await fetch(`http://${http}/x`).catch(() => undefined);
        return answer !== undefined;
      },
      "the proxy listens",
      CLUSTER_LIMIT_MS,
    );
    assert.is(answer?.status, status);
    if (status === 200) assert.is(await answer?.text(), "over TLS");
    if (status === 200) assert.equal(hosts, [http]);
  }
  assert.is(hosts.length, 1);
});

tls.run();
