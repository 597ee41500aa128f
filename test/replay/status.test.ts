/** `tidemark status` in a cluster. */
import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectBus } from "../../src/bus/client/connection.ts";
import { closeBus } from "../../src/bus/client/gathered-writes.ts";
import { PushReporter } from "../../src/bus/push-reports.ts";
import type { ServerName } from "../../src/matrix/ids.ts";
import { type Role, start } from "../../src/start.ts";
import { runCli } from "../support/cli-process.ts";
import { tidemarkCommand } from "../support/commands.ts";
import { type BusHarness, eventually, message, servedOn, startBus } from "../support/harness.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOM = "!r:a.org";

const status = suite("status");

status("names owner, standbys and lag of each partition", async () => {
  await using bus = await startBus();
  const start = (name: string) =>
    runCli(["start", "--nats", bus.url, "--data", join(bus.dir, name), "--partitions", "2"]);
  await using first = start("first");
  await first.ready;
  await using second = start("second");
  await second.ready;
  await bus.sent("event", ROOM, message("$1"));
  await eventually(async () => {
    // While a partition goes from one to the other, nobody has it, and the command says that something is wrong.
    const { status: exit, stdout } = await tidemarkCommand(["status", "--nats", bus.url, "--json"]);
    const found = stdout.map((line) => JSON.parse(line)).filter(({ partition }) => partition !== undefined);
    return (
      exit === 0 &&
      found.every(
        ({ owner, standbys, lag, failed }) =>
          owner !== null && standbys.length === 1 && standbys[0] !== owner && lag === 0 && failed.length === 0,
      )
    );
  }, "each partition has an owner, a standby, and no lag");

  const [heading] = (await tidemarkCommand(["status", "--nats", bus.url])).stdout;
  assert.match(heading!, /^partition .* folded +lag +published through +owner +standbys$/);
});

status("says when each homeserver pushed last, and whether its pushes stall", async () => {
  await using bus = await startBus();
  await using gateway = await startGateway(bus);
  const look = async () => {
    const lines = (await tidemarkCommand(["status", "--nats", bus.url, "--json"])).stdout;
    return lines.map((line) => JSON.parse(line)).filter(({ homeserver }) => homeserver !== undefined);
  };
  assert.equal(await look(), [], "none has pushed");
  const before = Date.now();
  await push(gateway, 1, { events: [{ ...message("$1"), room_id: ROOM }] });
  await eventually(async () => (await look()).length === 1, "one has pushed");
  const [{ pushed, ...other }] = await look();
  assert.ok(pushed >= before - 1_000 && pushed <= Date.now() + 1_000, `${pushed - before}`);
  assert.equal(other, { homeserver: "tidemark", server_names: ["a.org"], stalled: null });

  const nc = await connectBus({ url: bus.url, name: "a proxy" });
  const proxy = new PushReporter(nc, { ...REGISTRATION, serverNames: ["a.org"] });
  const stalled = async () => (await look())[0].stalled;
  proxy.stalled(true);
  await eventually(async () => (await stalled()) !== null, "its pushes stall");
  const { stdout: table, status: exit } = await tidemarkCommand(["status", "--nats", bus.url]);
  assert.is(exit, 1);
  assert.match(table.at(-1)!, /^pushes_stalled +tidemark +/);
  assert.match(table.at(-4)!, /^homeserver +last push \(UTC\) +seconds ago +pushes$/);
  assert.match(table.at(-3)!, /^a\.org +\d{4}-\S+ \S+ +\d+ +stall since \d{4}-\S+ \S+$/);
  proxy.stalled(false);
  await eventually(async () => (await stalled()) === null, "they flow again");
  proxy.stalled(true);
  await eventually(async () => (await stalled()) !== null, "they stall again");
  proxy.pushed();
  await eventually(async () => (await stalled()) === null, "a push ends it as well");
  await closeBus(nc);
});

status("names what is wrong, and what to do, beside partitions that are well", async () => {
  await using bus = await startBus();
  await using _gateway = await startGateway(bus);
  const look = async () => {
    const { stdout, status } = await tidemarkCommand(["status", "--nats", bus.url, "--json"]);
    const lines = stdout.map((line) => JSON.parse(line));
    const problems = lines.flatMap(({ problem, where }) => (problem === undefined ? [] : [[problem, where]]));
    return { status, partitions: lines.filter(({ partition }) => partition !== undefined), problems };
  };
  await eventually(async () => (await look()).status === 0, "nothing is wrong");
  await bus.jsm.streams.delete("TIDEMARK_LOG_0");
  const { status: exit, partitions, problems } = await look();
  assert.is(exit, 1);
  assert.ok(problems.some(([reason, where]) => reason === "log_missing" && where === "TIDEMARK_LOG_0"));
  assert.match(partitions[0].fault, "the log of partition 0 is gone");
  assert.is(partitions[1].fault, null);
  const { stdout } = await tidemarkCommand(["status", "--nats", bus.url]);
  assert.ok(stdout.some((line) => /^log_missing +TIDEMARK_LOG_0 .* restore the log from a backup$/.test(line)));
});

status("says that logs lack their count", async () => {
  await using bus = await startBus();
  {
    await using _gateway = await startGateway(bus);
  }
  await bus.jsm.streams.delete("KV_tidemark");
  const { stderr, status: exit } = await tidemarkCommand(["status", "--nats", bus.url]);
  assert.is(exit, 1);
  assert.match(stderr, "the bucket tidemark doesn't say how many there are");
});

async function startGateway(bus: BusHarness) {
  const tidemark = await start({
    ...servedOn(bus),
    roles: new Set<Role>(["ingress", "worker", "gateway"]),
    federation: { serverNames: ["a.org" as ServerName] },
    registration: REGISTRATION,
    log: pino({ level: "silent" }),
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

status.run();
