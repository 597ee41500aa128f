/** A cluster of `nats-server` processes on loopback, three or one, on the shipped `nats.conf`, as in production. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect, type NatsConnection } from "nats";
import { findBroker } from "../../src/bus/broker/find.ts";

export const NATS_CONF = resolve(import.meta.dirname, "../../nats.conf");
export const CLUSTER_SIZE = 3;
const READY_LIMIT_MS = 60_000;
const READY_ANSWER_MS = 1_000;
const POLL_MS = 50;
/** How long a new cluster may take to be ready, and then to replicate a stream, and how many clusters are tried. */
const START_LIMIT_MS = 20_000;
const REPLICATION_LIMIT_MS = 15_000;
const STARTS_MAX = 3;

const USERS = ["homeserver", "ingress", "worker", "frontend", "gateway", "federation", "admin", "system"] as const;
export type User = (typeof USERS)[number];

const passwordOf = (user: string) => `test${user}Password`;

/** The environment variables of `nats.conf`. */
function natsEnvironment(name: string, storeDir: string, routes: readonly string[]): NodeJS.ProcessEnv {
  const routePassword = passwordOf("route");
  return {
    NATS_SERVER_NAME: name,
    NATS_STORE_DIR: storeDir,
    NATS_ROUTES: `[${routes.map((route) => `nats://tidemark:${routePassword}@${route}`).join(", ")}]`,
    NATS_ROUTE_PASSWORD: routePassword,
    ...Object.fromEntries(USERS.map((user) => [`NATS_${user.toUpperCase()}_PASSWORD`, passwordOf(user)])),
  };
}

export interface ClusterServer {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number | undefined;
  readonly storeDir: string;
  readonly log: readonly string[];
  start(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process has ended. */
  ended(): Promise<void>;
}

export interface NatsCluster extends AsyncDisposable {
  readonly dir: string;
  readonly servers: readonly ClusterServer[];
  /** Where servers reach one another, unless there are links in between. */
  readonly routes: readonly string[];
  /** The value of `--nats` for this user. */
  url(user: User): string;
  connect(user: User, options?: ConnectionOptions): Promise<NatsConnection>;
  /** Starts one more server on loopback, with the same configuration and all routes. */
  addServer(): Promise<ClusterServer>;
  /** Resolves when every running server has a JetStream leader. */
  ready(limitMs?: number): Promise<void>;
}

/** Where each server runs. Default: on loopback. */
export interface ServerPlaces {
  /** An address for each server. */
  readonly hosts: readonly string[];
  /** The first words of its command line. */
  readonly prefix: (server: number) => readonly string[];
}

/** Resolves to the address at which one server reaches the route port of another. Default: that port itself. */
export type Link = (from: number, to: number, port: number) => Promise<string>;

interface ClusterOptions {
  readonly conf?: string;
  /** One server is no cluster: its configuration must not have the block. Default: `CLUSTER_SIZE`. */
  readonly size?: 1 | typeof CLUSTER_SIZE;
  readonly places?: ServerPlaces | undefined;
  readonly link?: Link | undefined;
  /** Where the nth server, from 0, has its streams. Default: a folder of the cluster's own. */
  readonly storeDirs?: readonly (string | undefined)[];
  /** A user's password now, of a configuration that has its own. Default: that of the environment. */
  readonly passwords?: (user: User) => string;
  /** The certificate file of the CA, if the configuration has TLS for clients. */
  readonly ca?: string;
}

/**
 * Servers advertise an address where there is none, so that they find each other only by the routes that they are given. Otherwise
 * two that dial each other at the same time may both give up their connection as a duplicate.
 */
const ONLY_GIVEN_ROUTES = ["--cluster_advertise", "127.0.0.1:1"];

/**
 * Starts a cluster that can replicate streams three times. On a busy machine, a server sometimes finds no other, or the leader
 * never learns of the third one. Then a new cluster is started.
 */
export async function startNatsCluster(options: ClusterOptions = {}): Promise<NatsCluster> {
  for (let attempt = 1; ; attempt++) {
    const cluster = await startServers(options);
    try {
      await cluster.ready(START_LIMIT_MS);
      await replicateStream(cluster);
      return cluster;
    } catch (cause) {
      await cluster[Symbol.asyncDispose]();
      if (attempt === STARTS_MAX) throw new Error(`no cluster of ${attempt} replicates streams`, { cause });
    }
  }
}

async function startServers(options: ClusterOptions): Promise<NatsCluster> {
  const { conf = NATS_CONF, size = CLUSTER_SIZE, places, link, storeDirs = [], passwords = passwordOf, ca } = options;
  const tls = ca === undefined ? {} : { tls: { caFile: ca } };
  const scheme = ca === undefined ? "nats" : "tls";
  const hosts = places?.hosts ?? Array.from({ length: size }, () => "127.0.0.1");
  const executable = process.env.TIDEMARK_NATS_SERVER ?? (await findBroker())!.path;
  const dir = await mkdtemp(join(tmpdir(), "tidemark-cluster-"));
  const ports = await freePorts(size * 3);
  const routes = ports.slice(size, 2 * size);
  const routesOf = (from: number) =>
    Promise.all(routes.map((port, to) => (from === to || !link ? `${hosts[to]}:${port}` : link(from, to, port))));
  const allRoutes = await Promise.all(hosts.map((_, from) => routesOf(from)));
  const storeDirOf = (i: number) => storeDirs[i] ?? join(dir, `nats-${i + 1}`);
  const servers = Array.from({ length: size }, (_, i) =>
    natsServer({
      command: [...(places?.prefix(i) ?? []), executable, "-c", conf],
      host: hosts[i]!,
      name: `nats-${i + 1}`,
      ports: [ports[i]!, routes[i]!, ports[2 * size + i]!],
      isAlone: size === 1,
      storeDir: storeDirOf(i),
      env: natsEnvironment(`nats-${i + 1}`, storeDirOf(i), allRoutes[i]!),
    }),
  );
  const url = (user: User) =>
    servers.map(({ host, port }) => `${scheme}://${user}:${passwords(user)}@${host}:${port}`).join(",");
  const cluster: NatsCluster = {
    dir,
    servers,
    routes: routes.map((port, i) => `${hosts[i]}:${port}`),
    url,
    connect: (user, more = {}) =>
      connect({
        servers: servers.map(({ host, port }) => `${host}:${port}`),
        user,
        pass: passwords(user),
        inboxPrefix: `_INBOX_${user}`,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
        ...tls,
        ...more,
      }),
    ready: async (limitMs = READY_LIMIT_MS) => {
      const deadline = performance.now() + limitMs;
      for (const server of servers) {
        while (server.pid !== undefined && !(await isReady(server, { pass: passwords("admin"), ...tls }))) {
          if (performance.now() > deadline)
            throw new Error(`${server.name} is not ready:\n${server.log.slice(-20).join("\n")}`);
          await delay(POLL_MS);
        }
      }
    },
    addServer: async () => {
      const name = `nats-${servers.length + 1}`;
      const more = await freePorts(3);
      const server = natsServer({
        command: [executable, "-c", conf],
        host: "127.0.0.1",
        name,
        ports: [more[0]!, more[1]!, more[2]!],
        isAlone: false,
        storeDir: join(dir, name),
        env: natsEnvironment(name, join(dir, name), [...allRoutes[0]!, `127.0.0.1:${more[1]}`]),
      });
      servers.push(server);
      await server.start();
      await cluster.ready();
      return server;
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) server.kill("SIGKILL");
      await Promise.all(servers.map((server) => server.ended()));
      await Promise.all(servers.map(wipeStore));
      await rm(dir, { recursive: true, force: true });
    },
  };
  try {
    await Promise.all(servers.map((server) => server.start()));
    return cluster;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}

/** Deletes what an ended server has stored; not the folder itself, which may be a disk of its own. */
export async function wipeStore({ storeDir }: ClusterServer): Promise<void> {
  const names = await readdir(storeDir).catch(() => []);
  for (const name of names) await rm(join(storeDir, name), { recursive: true, force: true });
}

interface ServerOptions {
  readonly command: readonly string[];
  readonly host: string;
  readonly name: string;
  readonly ports: readonly [client: number, route: number, monitoring: number];
  readonly isAlone: boolean;
  readonly storeDir: string;
  readonly env: NodeJS.ProcessEnv;
}

function natsServer({ command, host, name, ports, isAlone, storeDir, env }: ServerOptions): ClusterServer {
  const [port, route, monitoring] = ports;
  const log: string[] = [];
  let child: ChildProcess | undefined;
  let closed: Promise<unknown> = Promise.resolve();
  return {
    name,
    host,
    port,
    get pid() {
      return child?.pid;
    },
    storeDir,
    log,
    start: async () => {
      const cluster = isAlone ? [] : ["--cluster", `nats://${host}:${route}`, ...ONLY_GIVEN_ROUTES];
      const args = ["-a", host, "-p", `${port}`, "-m", `${monitoring}`, ...cluster];
      const [executable = "", ...first] = command;
      const started = spawn(executable, [...first, ...args], {
        env: { PATH: process.env.PATH, ...env },
        stdio: ["ignore", "ignore", "pipe"],
      });
      child = started;
      started.stderr!.setEncoding("utf8").on("data", (text: string) => {
        for (const line of text.trimEnd().split("\n")) if (!line.includes("Healthcheck failed")) log.push(line);
      });
      closed = once(started, "close").then(() => {
        if (child === started) child = undefined;
      });
      await once(started, "spawn");
    },
    kill: (signal) => {
      // A paused process reacts only to SIGKILL and SIGCONT.
      child?.kill(signal);
    },
    ended: async () => {
      await closed;
    },
  };
}

/** Makes a stream with a replica on every server, and deletes it. Throws when that does not succeed in time. */
async function replicateStream(cluster: NatsCluster): Promise<void> {
  const nc = await cluster.connect("admin");
  try {
    for (const deadline = performance.now() + REPLICATION_LIMIT_MS; ; ) {
      try {
        const jsm = await nc.jetstreamManager();
        await jsm.streams.add({ name: "READY", subjects: ["ready"], num_replicas: cluster.servers.length });
        await jsm.streams.delete("READY");
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(POLL_MS);
      }
    }
  } finally {
    await nc.close();
  }
}

/** Returns whether the server has a JetStream leader. Without one, it answers with an error or not at all. */
async function isReady({ host, port, pid, log, name }: ClusterServer, options: ConnectionOptions): Promise<boolean> {
  if (pid === undefined) throw new Error(`${name} has ended:\n${log.slice(-20).join("\n")}`);
  try {
    const nc = await connect({
      servers: `${host}:${port}`,
      user: "admin",
      maxReconnectAttempts: 0,
      timeout: READY_ANSWER_MS,
      ...options,
    });
    try {
      const info = (await nc.request("$JS.API.INFO", "", { timeout: READY_ANSWER_MS })).json<{ error?: unknown }>();
      return info.error === undefined;
    } finally {
      await nc.close();
    }
  } catch {
    return false;
  }
}

/** Returns ports that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const listening = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = listening.map((server) => (server.address() as { port: number }).port);
  await Promise.all(listening.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
