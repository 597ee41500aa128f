/** A cluster of three brokers on the shipped `nats.conf`, with Tidemark's roles as processes, and a homeserver behind its proxies. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { CLUSTER_SIZE, type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { canMount, type SmallDisk, smallDisk } from "../support/small-disk.ts";
import type { Connections } from "./checker.ts";
import { Homeserver } from "./homeserver.ts";
import { LOCAL_SERVER, PARTITIONS, usersOf } from "./names.ts";
import { makeNamespaces, makeProxies, type Network } from "./network.ts";
import { Passwords } from "./passwords.ts";
import { type ClusterProcess, clusterProcess } from "./process.ts";

const MIB = 1_048_576;
const SERVER_DISK_MIB_MIN = 512;
const WORKER_DISK_BYTES = 128 * MIB;
/** What a server stores for each MiB of log, and what it needs beside it while it copies a stream. */
const STORED_PER_LOG = 4;

export interface TestedCluster extends AsyncDisposable {
  readonly cluster: NatsCluster;
  readonly network: Network;
  readonly passwords: Passwords;
  /** Of the last server, and of the last worker. undefined where none can be mounted. */
  readonly disks: { readonly server: SmallDisk; readonly worker: SmallDisk } | undefined;
  readonly homeserver: Homeserver;
  readonly workers: readonly ClusterProcess[];
  readonly ingresses: readonly ClusterProcess[];
  readonly gateways: readonly ClusterProcess[];
  readonly proxies: readonly ClusterProcess[];
  readonly connections: Connections & { readonly homeserver: NatsConnection };
  /** The log that a server has to copy when its store is wiped, MiB. */
  readonly logMib: number;
}

export interface ClusterSize {
  readonly workers: number;
  readonly ingresses: number;
  readonly gateways: number;
  readonly proxies: number;
  readonly logMib: number;
  /** Of what will run on it, each with users of its own. */
  readonly names: readonly string[];
  /** Cuts links with proxies even where network namespaces are allowed. Default: false. */
  readonly withoutNamespaces?: boolean;
}

export async function startTestedCluster(size: ClusterSize): Promise<TestedCluster> {
  const closing: (() => PromiseLike<unknown>)[] = [];
  const dispose = async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  const owned = <T extends AsyncDisposable>(resource: T): T => {
    closing.push(() => resource[Symbol.asyncDispose]());
    return resource;
  };
  try {
    const network = owned((size.withoutNamespaces ? undefined : await makeNamespaces()) ?? makeProxies());
    const files = await mkdtemp(join(tmpdir(), "tidemark-conf-"));
    closing.push(() => rm(files, { recursive: true }));
    const disks = (await canMount())
      ? {
          server: owned(await smallDisk((SERVER_DISK_MIB_MIN + size.logMib * STORED_PER_LOG) * MIB)),
          worker: owned(await smallDisk(WORKER_DISK_BYTES)),
        }
      : undefined;
    const passwords = await Passwords.write(files);
    const cluster = owned(
      await startNatsCluster({
        conf: passwords.conf,
        places: network.places,
        link: network.link,
        storeDirs: [...Array.from({ length: CLUSTER_SIZE - 1 }, () => undefined), disks?.server.path],
      }),
    );
    const homeserver = new Homeserver();
    const { url } = owned(await homeserver.listen());
    const users = join(files, "users.json");
    const tokens = size.names.flatMap(usersOf).map((user) => [user, { user_id: user }]);
    await writeFile(users, JSON.stringify(Object.fromEntries(tokens)));
    const options = {
      worker: ["--server-name", LOCAL_SERVER],
      ingress: [],
      gateway: ["--users", users],
      proxy: ["--homeserver", url, "--imports", "0"],
    };
    const start = (role: keyof typeof options, count: number) =>
      Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const data = role === "worker" && i === count - 1 ? disks?.worker.path : undefined;
          const more = options[role];
          const process = clusterProcess({ cluster, role, number: i + 1, partitions: PARTITIONS, data, more });
          closing.push(() => process.end("SIGKILL"));
          await process.start();
          return process;
        }),
      );
    const connect = async (user: "homeserver" | "frontend" | "admin") => {
      const nc = await cluster.connect(user);
      closing.push(() => nc.close());
      return nc;
    };
    return {
      cluster,
      network,
      passwords,
      disks,
      homeserver,
      workers: await start("worker", size.workers),
      ingresses: await start("ingress", size.ingresses),
      gateways: await start("gateway", size.gateways),
      proxies: await start("proxy", size.proxies),
      connections: {
        homeserver: await connect("homeserver"),
        frontend: await connect("frontend"),
        admin: await connect("admin"),
      },
      logMib: size.logMib,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
