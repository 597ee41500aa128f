/** A stream that a gateway reads is not there when it starts (docs/operations.md#what-is-wrong). */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CONDITIONS } from "../../src/conditions.ts";
import { start } from "../../src/start.ts";
import { runCli, startArgs } from "../support/cli-process.ts";
import { freePort } from "../support/configured-broker.ts";
import { type BusHarness, CLUSTER_LIMIT_MS, eventually, servedOn, startBus, startOn } from "../support/harness.ts";
import { logged } from "../support/logged.ts";

const STREAM = "TIDEMARK_DELTAS_1";

/** Leaves a bus without that stream, and without a worker. Resolves to the file of a gateway's users. */
async function deleteStream(bus: BusHarness): Promise<string> {
  await (await startOn(bus, { roles: ["worker"] })).stop();
  await bus.jsm.streams.delete(STREAM);
  const users = join(bus.dir, "users.json");
  await writeFile(users, "{}");
  return users;
}

const missing = suite("a missing stream");

missing("is named by a gateway that starts, which serves once a worker has made it", async () => {
  await using bus = await startBus();
  const users = await deleteStream(bus);
  const port = await freePort();
  const { log, lines } = logged();
  const stopping = new AbortController();
  using _end = { [Symbol.dispose]: () => stopping.abort() };
  const starting = start({
    ...servedOn(bus),
    data: join(bus.dir, "gateway"),
    metrics: { host: "127.0.0.1", port },
    roles: new Set(["gateway"]),
    users,
    stopping: stopping.signal,
    log,
  });
  starting.catch(() => {}); // Whoever awaits it gets the rejection.
  const said = () =>
    lines.flatMap(({ condition, where, msg }) => (condition === "stream_missing" ? [[where, msg]] : []));
  await eventually(() => said().length > 0, "the gateway says so", CLUSTER_LIMIT_MS);
  const waiting = await fetch(`http://127.0.0.1:${port}/readyz`);
  assert.is(waiting.status, 503);
  const { ok, degraded } = (await waiting.json()) as { ok: boolean; degraded: { reason: string; where: string }[] };
  assert.is(ok, false);
  assert.equal(
    degraded.map(({ reason, where }) => [reason, where]),
    [["stream_missing", STREAM]],
  );

  await using _worker = await startOn(bus, { roles: ["worker"] });
  const gateway = await starting;
  const { begins, ends } = CONDITIONS.stream_missing;
  assert.equal(said(), [
    [STREAM, begins],
    [STREAM, ends],
  ]);
  const serving = await fetch(`${gateway.httpUrl}/readyz`);
  assert.equal([serving.status, await serving.json()], [200, { ok: true }], "clients are not told what is wrong");
  await gateway.stop();
});

missing("doesn't keep a gateway that starts from ending at a signal", async () => {
  await using bus = await startBus();
  const users = await deleteStream(bus);
  await using gateway = runCli(startArgs(bus, "--roles", "gateway", "--users", users));
  const isSaid = (words: string) => gateway.stderr.some((line) => line.includes(words));
  await eventually(() => isSaid(STREAM), "the gateway waits", CLUSTER_LIMIT_MS);
  gateway.kill("SIGTERM");
  assert.is(await gateway.ended, 0, gateway.stderr.join("\n"));
  assert.ok(isSaid("stopping before the start is complete"));
  assert.equal(gateway.stdout, []);
});

missing.run();
