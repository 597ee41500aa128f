/** The accounts of `nats.conf` on three servers, with TLS between them and for clients. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { pushReports } from "../../src/bus/push-reports.ts";
import { managerOf } from "../support/account-state.ts";
import { assertKeepsOutsidersOut, copied, startProcesses } from "../support/attacked-accounts.ts";
import { runCli } from "../support/cli-process.ts";
import { member } from "../support/federation.ts";
import { decoded, eventually, message } from "../support/harness.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs } from "../support/operated-cluster.ts";
import { HS_TOKEN, push } from "../support/pushing-homeserver.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { confWithTls, makeCertificates } from "../support/tls-conf.ts";

const ROOM = "!room:a";
const OK = 200;

async function startEncryptedCluster(dir: string) {
  await makeCertificates(dir);
  const ca = join(dir, "ca.pem");
  // By name, because the client verifies no IP addresses.
  const places = { hosts: ["localhost", "localhost", "localhost"], prefix: () => [] };
  const cluster = await startNatsCluster({ conf: await confWithTls(dir), ca, places });
  return { cluster, env: { NODE_EXTRA_CA_CERTS: ca }, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

const accounts = suite("accounts of a cluster");

accounts("no outsider has the broker write to the log, the leases, the counts or the deltas", async () => {
  using dir = temporaryDirectory();
  await using attacked = await startEncryptedCluster(dir.path);
  await assertKeepsOutsidersOut(attacked);
});

accounts("a gateway serves clients and a sender reads, each in its own account", async () => {
  using dir = temporaryDirectory();
  await using encrypted = await startEncryptedCluster(dir.path);
  const { cluster, env } = encrypted;
  await using _running = await startProcesses(encrypted);
  const users = join(dir.path, "users.json");
  await writeFile(users, JSON.stringify({ token: { user_id: "@me:a", device_id: "A" } }));
  const registration = join(dir.path, "registration.yaml");
  await writeFile(registration, JSON.stringify({ id: "tidemark", as_token: "the-as-token", hs_token: HS_TOKEN }));
  const options = ["--roles", "gateway", "--users", users, "--registration", registration, "--server-name", "a"];
  await using gateway = runCli(["start", "--nats", cluster.url("gateway"), ...options], env);
  const { http: httpUrl } = await gateway.ready;
  const events = [member("@me:a"), member("@you:e"), message("$1", { sender: "@you:e" })];
  const pushed = await push({ httpUrl }, 1, { events: events.map((event) => ({ ...event, room_id: ROOM })) });
  assert.is(pushed.status, OK);

  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${httpUrl}/_matrix/client/v3${path}`, {
      ...init,
      headers: { authorization: "Bearer token" },
    });
    assert.is(answer.status, OK, path);
    return decoded(new Uint8Array(await answer.arrayBuffer()));
  };
  const joined = async () => (await ask("/sync")).rooms?.join ?? {};
  await eventually(async () => ROOM in (await joined()), "the room is there");
  let { next_batch: since } = await ask("/sync");
  await ask(`/rooms/${encodeURIComponent(ROOM)}/receipt/m.read/%241`, { method: "POST", body: "{}" });
  const isRead = async () => {
    const { rooms, next_batch: next } = await ask(`/sync?timeout=1000&since=${since}`);
    since = next;
    return rooms?.join?.[ROOM]?.ephemeral?.events[0]?.content.$1 !== undefined;
  };
  await eventually(isRead, "the receipt arrives");

  // On another subject, with the name of a user.
  await ask(`/rooms/${encodeURIComponent(ROOM)}/receipt/m.read.private/%241`, { method: "POST", body: "{}" });
  await using admin = await connectAs(cluster, "admin");
  const pushers = async () => (await pushReports(admin.nc)).map(({ id, stalledAt }) => [id, stalledAt]);
  await eventually(async () => (await pushers()).length > 0, "an operator sees who pushes");
  assert.equal(await pushers(), [["tidemark", null]]);
  const edge = await managerOf(admin.nc, "EDGE.JS.API");
  const privateDelta = { last_by_subj: "tidemark.user.0.%40me:a.receipts" };
  const isCopied = () =>
    edge.streams.getMessage("TIDEMARK_DELTAS_0", privateDelta).then(
      () => true,
      () => false,
    );
  await eventually(isCopied, "the private receipt is copied");
  await copied(admin.nc, "TIDEMARK_FEDERATION_0", "FEDERATION.JS.API");
  await using sender = await connectAs(cluster, "federation");
  const jsm = await sender.nc.jetstreamManager({ checkAPI: false });
  const { data } = await jsm.streams.getMessage("TIDEMARK_FEDERATION_0", { last_by_subj: "tidemark.federation.0.e" });
  assert.equal(Object.keys(decoded(data).edu.content), [ROOM]);
});

accounts.run();
