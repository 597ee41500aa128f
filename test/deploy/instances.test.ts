/** What each process says of itself (docs/design.md#processes-answer-for-themselves), with the users and accounts of `nats.conf`. */
import { hostname } from "node:os";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { programBuild } from "../../src/build.ts";
import { decodeInstance, INSTANCE_EXAMPLE } from "../../src/bus/contract/instance.ts";
import { tidemarkCommand } from "../support/commands.ts";
import { startHomeserver } from "../support/fake-homeserver.ts";
import { type Body, CLUSTER_LIMIT_MS, eventually, message, pack } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, startRole } from "../support/operated-cluster.ts";

const ROOM = "!room:a";

const instances = suite("instances");

instances("of every role answer an operator, each once, and say what is wrong at them", async () => {
  await using cluster = await startNatsCluster();
  const events = [{ ...message("$1", { sender: "@me:a" }), room_id: ROOM }];
  await using homeserver = await startHomeserver({ room: ROOM, token: "token", events, state: [] });
  homeserver.onRequest = () => ({ status: 200, body: { chunk: events } });
  const worker = await startRole(cluster, "worker", { partitions: 1 });
  await using _ingress = await startRole(cluster, "ingress");
  await using _gateway = await startRole(cluster, "gateway", { homeserver: homeserver.url });
  await using proxy = await startRole(cluster, "proxy", { homeserver: homeserver.url });
  const status = async () => {
    const { stdout, stderr } = await tidemarkCommand(["status", "--json", "--nats", cluster.url("admin")]);
    assert.ok(stdout.length > 0, stderr);
    return stdout.map((line): Body => JSON.parse(line));
  };
  const roles = ["gateway", "ingress", "proxy", "worker"];
  let found: Body[] = [];
  await eventually(
    async () => {
      found = (await status()).filter(({ instance }) => instance !== undefined);
      return found.length === roles.length && found.every(({ ready }) => ready);
    },
    "all processes answer",
    CLUSTER_LIMIT_MS,
  );
  assert.equal(found.map(({ roles: [role] }) => role).sort(), roles);
  for (const { host, version, build } of found) {
    assert.equal([host, { version, build }], [hostname(), await programBuild()]);
  }

  await using admin = await connectAs(cluster, "admin");
  const answers: string[] = [];
  admin.nc.subscribe("answers", { callback: (_, { data }) => answers.push(decodeInstance(data)?.instance ?? "none") });
  admin.nc.publish("tidemark.status", pack({}), { reply: "answers" });
  // What could come twice has come when the answers to another question have.
  await eventually(() => answers.length >= roles.length, "all processes answer again");
  admin.nc.publish("tidemark.status", pack({}), { reply: "answers" });
  await eventually(() => answers.length >= 2 * roles.length, "and once more");
  assert.equal(answers.slice(0, roles.length).sort(), found.map(({ instance }) => instance).sort());
  assert.is(new Set(answers).size, roles.length);

  await worker.stop();
  const { instance } = found.find(({ roles: [role] }) => role === "proxy")!;
  await eventually(
    async () => {
      await (await fetch(`${proxy.httpUrl}/_matrix/client/v3/rooms/${encodeURIComponent(ROOM)}/messages?dir=b`)).text();
      const problem = (await status()).find((line) => line.problem === "without_orders");
      return problem?.instances.includes(instance) === true;
    },
    "the proxy says that it has no orders",
    CLUSTER_LIMIT_MS,
  );
});

instances("that answer something else are left out", () => {
  const report = INSTANCE_EXAMPLE;
  assert.equal(decodeInstance(pack(report)), report);
  assert.equal(decodeInstance(Buffer.from(JSON.stringify({ ...report, more: 1 }))), report, "a newer one may say more");
  const wrong = [null, [], "{", { ...report, v: 2 }, { ...report, host: "x".repeat(257) }, { ...report, roles: 3 }];
  for (const each of wrong) assert.is(decodeInstance(pack(each)), undefined);
  assert.is(decodeInstance(new Uint8Array()), undefined);
});

instances.run();
