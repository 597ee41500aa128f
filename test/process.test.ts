/** Tidemark as a process (docs/design.md#the-command-line): its options, output and exit status. */
import { once } from "node:events";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect, type NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type CliProcess, runCli, startArgs } from "./support/cli-process.ts";
import { tidemarkCommand } from "./support/commands.ts";
import { type Body, message, receipt, rejects, startBus, startOn, startTidemark, token } from "./support/harness.ts";
import { temporaryDirectory } from "./support/temporary-directory.ts";

const ROOM = "!process:a.org";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function status(url: string): Promise<number> {
  return (await fetch(url)).status;
}

function credentialsIn(url: string): ConnectionOptions {
  const { host, username: user, password: pass } = new URL(url);
  return { servers: host, user, pass };
}

/** What standard error has besides log lines. */
function complaintsIn({ stderr }: CliProcess): string[] {
  return stderr.filter((line) => !line.startsWith("{"));
}

const run = suite("process");

run("without --nats it runs its own broker, prints one line, and stops the broker when it stops", async () => {
  await using bus = await startBus();
  const data = join(bus.dir, "own");
  const startedAt = Date.now();
  await using tidemark = runCli(["start", "--data", data, "--partitions", "1"]);
  const { nats, http } = await tidemark.ready;
  assert.match(nats, /^nats:\/\/tidemark:\w{48}@127\.0\.0\.1:\d+$/);
  assert.match(http, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.is(await status(`${http}/healthz`), 200);
  assert.is(await status(`${http}/readyz`), 200);
  assert.is(await status(`${http}/nothing`), 404);
  assert.ok((await readdir(join(data, "nats"))).includes("jetstream"), "its store is under the data directory");

  assert.is((await stat(data)).mode & 0o777, 0o700);
  const nc = await connect(credentialsIn(nats));
  const reply = await nc.request(`tidemark.in.event.${token(ROOM)}`, JSON.stringify(message("$1")));
  assert.equal(reply.json(), { ok: true, positions: [2048] });
  const query = JSON.stringify({ op: "orders", event_ids: ["$1"] });
  const orderAt = async (client: NatsConnection) =>
    (await client.request(`tidemark.query.${token(ROOM)}`, query)).json<Body>().orders.$1;
  const order = await orderAt(nc);
  const base = (order - 1) / 1024;
  assert.ok(base >= startedAt && base <= Date.now(), "it is one more than the log's base: when it was made, × 1,024");
  await nc.close();

  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0);
  assert.equal(tidemark.stdout, [`tidemark ready nats=${nats} http=${http}`]);
  await connect({ ...credentialsIn(nats), reconnect: false }).then(
    () => assert.unreachable("the broker is gone"),
    () => undefined,
  );

  await using again = runCli(["start", "--data", data]);
  const second = await again.ready;
  assert.is(second.nats, nats, "the port and the password stay");
  const client = await connect(credentialsIn(second.nats));
  assert.is(await orderAt(client), order);
  await client.close();
});

run("a partition count that differs from the logs' is refused, and the error names both", async () => {
  await using bus = await startTidemark({ partitions: 2 });
  await using tidemark = runCli(startArgs(bus, "--partitions", "3"));
  assert.is(await tidemark.ended, 1);
  assert.equal(tidemark.stdout, []);
  const complaints = complaintsIn(tidemark);
  assert.is(complaints.length, 1);
  assert.match(complaints[0]!, "made with 2 partitions, not 3");
});

run("an invalid partition count in the bucket is refused, and the error names its key", async () => {
  for (const garbage of ["banana", "", "0", "-1", "2.5", "100000000"]) {
    await using bus = await startBus();
    const bucket = await bus.nc.jetstream().views.kv("tidemark", { history: 1 });
    await bucket.put("partitions", garbage);
    const error = await rejects(startOn(bus), "BUS_MISMATCH");
    assert.match(error.message, /key partitions of the bucket tidemark/);
  }
});

run("wrong usage exits with 2, and prints the reason on standard error", async () => {
  const wrong: [args: string[], env?: NodeJS.ProcessEnv][] = [
    [[]],
    [["start", "--bogus"]],
    [["start", "surplus"]],
    [["start", "--partitions", "0"]],
    [["start", "--partitions", "two"]],
    [["start", "--http", "nowhere"]],
    [["start", "--roles", "none"]],
    [["start", "--log-level", "loud"]],
    [["start"], { TIDEMARK_PARTITIONS: "1.5" }],
    [["start"], { TIDEMARK_HTTP: "127.0.0.1:65536" }],
  ];
  for (const [args, env] of wrong) {
    const { status, stdout, stderr } = await tidemarkCommand(args, env);
    assert.is(status, 2, `${args.join(" ")} ${JSON.stringify(env ?? {})}`);
    assert.equal(stdout, []);
    assert.ok(stderr.length > 0);
    assert.not.match(stderr, /^\s+at /m);
  }
  await using tidemark = runCli(["bogus"]);
  assert.is(await tidemark.ended, 2);
  assert.equal(tidemark.stdout, []);
  assert.ok(tidemark.stderr.length > 0);
  assert.is((await tidemarkCommand(["start", "--help"])).status, 0);
});

run("an unreachable broker is reported in one clear line", async () => {
  const url = `nats://user:password@127.0.0.1:${await freePort()}`;
  await using tidemark = runCli(["start", "--nats", url]);
  assert.is(await tidemark.ended, 1);
  assert.equal(tidemark.stdout, []);
  const complaints = complaintsIn(tidemark);
  assert.is(complaints.length, 1, tidemark.stderr.join("\n"));
  assert.match(complaints[0]!, /^tidemark: no connection to nats:\/\/user@127\.0\.0\.1:\d+: \S/);
});

run("options may come from the environment", async () => {
  await using bus = await startBus();
  const port = await freePort();
  const metricsPort = await freePort();
  await using tidemark = runCli(["start"], {
    TIDEMARK_NATS: bus.url,
    TIDEMARK_DATA: join(bus.dir, "from-env"),
    TIDEMARK_HTTP: `127.0.0.1:${port}`,
    TIDEMARK_METRICS: `127.0.0.1:${metricsPort}`,
    TIDEMARK_PARTITIONS: "3",
  });
  assert.equal(await tidemark.ready, {
    nats: bus.url,
    http: `http://127.0.0.1:${port}`,
    metrics: `http://127.0.0.1:${metricsPort}`,
  });
  assert.is((await bus.lastSequences()).length, 3);
});

run("its own broker stores its data under TIDEMARK_DATA", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(["start"], { TIDEMARK_DATA: join(bus.dir, "from-env"), TIDEMARK_PARTITIONS: "1" });
  await tidemark.ready;
  assert.ok((await readdir(join(bus.dir, "from-env", "nats"))).includes("jetstream"));
});

run(
  "its own broker lets nobody in without the password, which only its user can read, as all else in its folder",
  async () => {
    using dir = temporaryDirectory();
    const data = join(dir.path, "own");
    // As an earlier version left them.
    for (const name of ["nats", "state"]) await mkdir(join(data, name), { recursive: true, mode: 0o755 });
    const args = ["--data", data];
    await using tidemark = runCli(["start", ...args, "--partitions", "1"]);
    const { nats } = await tidemark.ready;
    const { host: servers, password } = new URL(nats);
    for (const credentials of [{}, { user: "tidemark", pass: "wrong" }]) {
      const refused = await connect({ servers, ...credentials, reconnect: false }).catch(({ code }) => code);
      assert.is(refused, "AUTHORIZATION_VIOLATION");
    }
    const nc = await connect(credentialsIn(nats));
    await nc.request(`tidemark.in.event.${token(ROOM)}`, JSON.stringify(message("$1")));
    await nc.close();

    // Commands find it by the folder.
    const status = await tidemarkCommand(["status", ...args]);
    assert.is(status.status, 0, status.stderr);
    const log = join(dir.path, "log.gz");
    const exported = runCli(["export", "--all", "--out", log, ...args]);
    assert.is(await exported.ended, 0, exported.stderr.join("\n"));
    assert.is((await stat(log)).mode & 0o777, 0o600);

    tidemark.kill("SIGTERM");
    assert.is(await tidemark.ended, 0);
    const readable: string[] = [];
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (((await stat(path)).mode & 0o077) !== 0) readable.push(path);
      if (entry.isFile() && entry.name !== "url" && entry.name !== "nats-server.conf") {
        assert.not(Buffer.from(await readFile(path)).includes(password), `${path} has no password`);
      }
    }
    assert.equal(readable, []);
  },
);

run("the process list shows no secret of the command line", async () => {
  await using bus = await startBus();
  const args = ["--nats", bus.url.replace("//", "//role:brokerSecret@"), "--admin-token", "a-token-of-the-inspector"];
  await using tidemark = runCli(["start", "--data", join(bus.dir, "data"), ...args]);
  const { nats } = await tidemark.ready;
  assert.is(nats, bus.url.replace("//", "//role@"), "nor does the ready line");
  const shown = (await readFile(`/proc/${tidemark.pid}/cmdline`, "utf8")).replaceAll("\0", " ");
  assert.match(shown, `start --data ${bus.dir}/data --nats ${nats} --admin-token ***`);
  assert.not.match(shown, /Secret|a-token/);
});

run("log lines at the level info name no user and no room", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
  const { http } = await tidemark.ready;
  const room = "!logged:a.org";
  await bus.sent("event", room, message("$1", { sender: "@secret:a.org" }));
  await bus.sent("receipt", room, [
    receipt("@secret:a.org", "$1"),
    receipt("@secret:a.org", "$1", { receipt_type: "m.read.private" }),
    receipt("@secret:a.org", "$1", { thread_id: "$2" }),
  ]);
  await bus.send("receipt", room, receipt("@secret a.org", "$1"));
  await bus.send("edu", "a.org", { [room]: { "m.read": { "@secret:b.org": {}, "@secret:a.org": {} } } });
  await bus.query(room, { op: "snapshot", user_id: "@secret:a.org" });
  await bus.query(room, { op: "unread", user_id: "@secret" });
  await fetch(`${http}/@secret:a.org`);
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0);
  assert.not.match(tidemark.stderr.join("\n"), /secret|logged:a|[@!]/);
});

run("log lines say from which process they are, and what it and its partitions have come to", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  await tidemark.ready;
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0);
  assert.equal(complaintsIn(tidemark), []);
  const lines = tidemark.stderr.map((line) => JSON.parse(line));
  const worker = await readFile(join(bus.dir, "data", "worker-id"), "utf8");
  for (const line of lines) {
    assert.equal([line.host, line.role, line.worker], [hostname(), "ingress,worker,gateway", worker], line.msg);
  }
  const said = lines.filter(({ msg }) => msg !== "a partition is warm: it can be served here at once");
  assert.equal(
    said.map(({ msg }) => msg),
    [
      "starting",
      "a partition is claimed: what is left of its log is folded first",
      "a partition is served",
      "ready: every role serves",
      "stopping",
      "a partition is given up",
      "drained",
    ],
  );
});

run("a standby says that it is warm, and a process without a worker names none", async () => {
  await using bus = await startTidemark({ partitions: 1 });
  await using standby = runCli([...startArgs(bus), "--roles", "worker"]);
  await standby.ready;
  assert.ok(standby.stderr.some((line) => line.includes("a partition is warm")));
  await using ingress = runCli([...startArgs(bus), "--roles", "ingress"]);
  await ingress.ready;
  const [line] = ingress.stderr;
  const { host, role, worker } = JSON.parse(line!);
  assert.equal([host, role, worker], [hostname(), "ingress", undefined]);
});

run("an HTTP port in use is reported in one clear line, and ends the process", async () => {
  await using bus = await startBus();
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await using tidemark = runCli(startArgs(bus, "--partitions", "1", "--http", `127.0.0.1:${port}`));
  assert.is(await tidemark.ended, 1);
  server.close();
  const complaints = complaintsIn(tidemark);
  assert.is(complaints.length, 1, tidemark.stderr.join("\n"));
  assert.match(complaints[0]!, "EADDRINUSE");
});

run.run();
