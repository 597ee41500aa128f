/** Brokers whose disk is full, and a log at its limit: what senders are answered, and what docs/operations.md#a-disk-fills tells a person to do. */
import type { NatsConnection } from "nats";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { start } from "../../src/start.ts";
import {
  BASE,
  type Body,
  CLUSTER_LIMIT_MS,
  decoded,
  eventually,
  LIMIT_MS,
  message,
  pack,
  servedOn,
  startBus,
  token,
} from "../support/harness.ts";
import { type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { connectAs, startRole } from "../support/operated-cluster.ts";
import { canMount, smallDisk } from "../support/small-disk.ts";

const ROOM = "!room:a.org";
const LOG = "TIDEMARK_LOG_0";
/** Enough for what a broker writes when it begins. */
const DISK_BYTES = 64 * 1024 * 1024;
const LOG_BYTES = 8 * 1024 * 1024;
const LARGE = "x".repeat(50_000);

async function sent(nc: NatsConnection, id: string, body = "x"): Promise<Body> {
  const event = message(id, { content: { body } });
  return decoded((await nc.request(`tidemark.in.event.${token(ROOM)}`, pack(event), { timeout: LIMIT_MS })).data);
}

async function ordersOf(nc: NatsConnection, ids: readonly string[]): Promise<Body> {
  const question = pack({ op: "orders", event_ids: ids });
  return decoded((await nc.request(`tidemark.query.${token(ROOM)}`, question, { timeout: LIMIT_MS })).data).orders;
}

/** `systemctl restart nats-server`, and what has to be waited for. */
async function restart(cluster: NatsCluster, servers: NatsCluster["servers"]): Promise<void> {
  for (const server of servers) {
    server.kill("SIGTERM");
    await server.ended();
    await server.start();
    await cluster.ready();
  }
}

const disks = suite("a full disk");

// E9
disks(
  "at one broker is noticed by no sender, at two refuses all, and loses nothing that was acknowledged",
  async () => {
    if (!(await canMount())) return;
    await using one = await smallDisk(DISK_BYTES);
    await using two = await smallDisk(DISK_BYTES);
    await using cluster = await startNatsCluster({ storeDirs: [one.path, two.path] });
    await using admin = await connectAs(cluster, "admin");
    const jsm = await admin.nc.jetstreamManager();
    const areReplicasCurrent = async () => {
      const { cluster: at } = await jsm.streams.info(LOG);
      const replicas = at?.replicas ?? [];
      return at?.leader !== undefined && replicas.length === 2 && replicas.every(({ current }) => current);
    };
    await using _worker = await startRole(cluster, "worker", { partitions: 1 });
    await using _ingress = await startRole(cluster, "ingress");
    const acknowledged: string[] = [];
    let next = 1;
    /** Sends until so many are acknowledged, each again until it is, as homeservers do. */
    const acknowledge = async (count: number) => {
      for (const last = next + count; next < last; next++) {
        const isTaken = async () => (await sent(admin.nc, `$${next}`).catch((): Body => ({}))).ok === true;
        await eventually(isTaken, `$${next} is acknowledged`, CLUSTER_LIMIT_MS);
        acknowledged.push(`$${next}`);
      }
    };
    await acknowledge(10);

    await one.fill();
    const [first, second] = cluster.servers;
    await acknowledge(50);
    await eventually(() => first!.log.some((line) => /no space left on device/.test(line)), "its log says why");

    await two.fill();
    let refusal = "";
    const isRefused = async () => {
      const reply = await sent(admin.nc, "$refused").catch((): Body => ({}));
      refusal = reply.error ?? refusal;
      return /most of its servers are away or have a full disk/.test(refusal);
    };
    await eventually(isRefused, "senders are told", CLUSTER_LIMIT_MS).catch((cause: unknown) => {
      throw new Error(`the last refusal: ${refusal}`, { cause });
    });
    await eventually(() => second!.log.some((line) => /no space left on device/.test(line)), "its log says why");

    for (const disk of [one, two]) await disk.free();
    await restart(cluster, [first!, second!]);
    await acknowledge(10);
    await eventually(() => areReplicasCurrent().catch(() => false), "all replicas are current", CLUSTER_LIMIT_MS);
    let orders: Body;
    const isServed = async () => {
      orders = await ordersOf(admin.nc, acknowledged).catch(() => undefined);
      return orders !== undefined && typeof orders[acknowledged.at(-1)!] === "number";
    };
    await eventually(isServed, "it is served again", CLUSTER_LIMIT_MS);
    const given = acknowledged.map((id) => orders[id]);
    assert.equal(
      given,
      given.toSorted((a, b) => a - b),
    );
    assert.is(new Set(given).size, acknowledged.length);
  },
);

disks(
  "is kept away by --log-bytes: a log refuses at its limit, all else goes on, and the limit is raised meanwhile",
  async () => {
    await using bus = await startBus();
    const tidemark = await start({
      ...servedOn(bus),
      partitions: 1,
      roles: new Set(["ingress", "worker"]),
      logBytesMax: LOG_BYTES,
      log: pino({ level: "silent" }),
    });
    try {
      const { config } = await bus.jsm.streams.info(LOG);
      assert.is(config.max_bytes, LOG_BYTES);
      let stored = 0;
      let reply: Body;
      for (;;) {
        reply = await sent(bus.nc, `$${stored}`, LARGE);
        if (!reply.ok) break;
        stored++;
      }
      assert.is(reply.errcode, "M_UNKNOWN");
      assert.match(reply.error, "maximum bytes exceeded");
      assert.equal(await ordersOf(bus.nc, ["$0", `$${stored - 1}`]), {
        $0: BASE + 1,
        [`$${stored - 1}`]: BASE + stored,
      });
      // `nats stream edit TIDEMARK_LOG_0 --max-bytes 16MiB`
      await bus.jsm.streams.update(LOG, { ...config, max_bytes: 2 * LOG_BYTES });
      assert.is((await sent(bus.nc, "$more", LARGE)).ok, true);
    } finally {
      await tidemark.stop();
    }
  },
);

disks.run();
