/** The broker is away: every role says so, and none ends (docs/operations.md#what-is-wrong). */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CONDITIONS } from "../src/conditions.ts";
import { type Role, start } from "../src/start.ts";
import { CLUSTER_LIMIT_MS, eventually, metricsOf, servedOn, startBus, startOn } from "./support/harness.ts";
import { logged } from "./support/logged.ts";
import { stallablePort } from "./support/stallable-port.ts";

const away = suite("a broker that is away");

for (const role of ["ingress", "gateway", "worker"] as const satisfies Role[]) {
  away(`makes a process with the role ${role} unready, with one line at the beginning and one at the end`, async () => {
    await using bus = await startBus();
    await using _worker = await startOn(bus, { roles: ["worker"] });
    await using port = await stallablePort(Number(new URL(bus.url).port));
    const { log, lines } = logged();
    const tidemark = await start({
      ...servedOn(bus),
      nats: port.url.replace("http", "nats"),
      data: join(bus.dir, role),
      metrics: { host: "127.0.0.1", port: 0 },
      roles: new Set([role]),
      log,
    });
    const ready = async () => (await fetch(`${tidemark.httpUrl}/readyz`)).ok;
    const said = () => lines.flatMap(({ condition, msg }) => (condition === "broker_away" ? [msg] : []));
    await eventually(ready, "it is ready", CLUSTER_LIMIT_MS);
    port.stall();
    await eventually(async () => !(await ready()), "it is not ready", CLUSTER_LIMIT_MS);
    assert.match(await metricsOf(tidemark), 'tidemark_degraded{reason="broker_away"} 1');
    assert.is((await fetch(`${tidemark.httpUrl}/healthz`)).status, 200);
    assert.equal(said(), [CONDITIONS.broker_away.begins]);
    port.flow();
    await eventually(ready, "it is ready again", CLUSTER_LIMIT_MS);
    assert.match(await metricsOf(tidemark), 'tidemark_degraded{reason="broker_away"} 0');
    assert.equal(said(), [CONDITIONS.broker_away.begins, CONDITIONS.broker_away.ends]);
    await tidemark.stop();
  });
}

away.run();
