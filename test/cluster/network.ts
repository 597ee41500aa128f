/**
 * The network between servers, whose links can be cut. Each server is in a network namespace of its own, on a bridge.
 * Where namespaces are not allowed, all servers are on loopback, with a proxy between every two of them. Either way, a
 * cut drops all traffic and closes no connection.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { promisify } from "node:util";
import { CLUSTER_SIZE, type Link, type ServerPlaces } from "../support/nats-cluster.ts";

const run = promisify(execFile);
const ip = (...args: string[]) => run("ip", args);

export interface Network extends AsyncDisposable {
  readonly kind: string;
  readonly places?: ServerPlaces;
  readonly link?: Link;
  /** Cuts the link between two servers, in both directions. Resolves to a function that restores it. */
  cut(one: number, other: number): Promise<() => Promise<void>>;
}

/** Returns undefined where namespaces are not allowed. */
export async function makeNamespaces(): Promise<Network | undefined> {
  const tag = `tm${process.pid % 100_000}`;
  const net = `10.213.${process.pid % 250}`;
  const hosts = Array.from({ length: CLUSTER_SIZE }, (_, i) => `${net}.${11 + i}`);
  const namespace = (i: number) => `${tag}n${i}`;
  const dispose = async () => {
    for (let i = 0; i < CLUSTER_SIZE; i++) await ip("netns", "del", namespace(i)).catch(() => {});
    await ip("link", "del", tag).catch(() => {});
  };
  try {
    await ip("link", "add", tag, "type", "bridge");
    await ip("addr", "add", `${net}.1/24`, "dev", tag);
    await ip("link", "set", tag, "up");
    for (let i = 0; i < CLUSTER_SIZE; i++) {
      const inNamespace = (...args: string[]) => ip("-n", namespace(i), ...args);
      await ip("netns", "add", namespace(i));
      await ip("link", "add", `${tag}v${i}`, "type", "veth", "peer", "name", `${tag}p${i}`);
      await ip("link", "set", `${tag}p${i}`, "netns", namespace(i));
      await ip("link", "set", `${tag}v${i}`, "master", tag, "up");
      await inNamespace("link", "set", "lo", "up");
      await inNamespace("link", "set", `${tag}p${i}`, "up");
      await inNamespace("addr", "add", `${hosts[i]}/24`, "dev", `${tag}p${i}`);
    }
  } catch {
    await dispose();
    return undefined;
  }
  const block = (verb: "add" | "del", from: number, to: number) =>
    ip("-n", namespace(from), "route", verb, "blackhole", `${hosts[to]}/32`);
  return {
    kind: "one network namespace per server",
    places: { hosts, prefix: (server) => ["ip", "netns", "exec", namespace(server)] },
    cut: async (one, other) => {
      await Promise.all([block("add", one, other), block("add", other, one)]);
      return async () => {
        await Promise.all([block("del", one, other), block("del", other, one)]);
      };
    },
    [Symbol.asyncDispose]: dispose,
  };
}

interface Proxy {
  readonly address: string;
  cut(isCut: boolean): void;
  close(): Promise<void>;
}

/** Makes a proxy for each direction of each route. */
export function makeProxies(): Network {
  const proxies = new Map<string, Proxy>();
  const setCut = (one: number, other: number, isCut: boolean) => {
    for (const key of [`${one} ${other}`, `${other} ${one}`]) proxies.get(key)!.cut(isCut);
  };
  return {
    kind: "a proxy between every two servers",
    link: async (from, to, port) => {
      const pair = `${from} ${to}`;
      await proxies.get(pair)?.close(); // left from an earlier start of the cluster
      const proxy = await startProxy(port);
      proxies.set(pair, proxy);
      return proxy.address;
    },
    cut: async (one, other) => {
      setCut(one, other, true);
      return async () => setCut(one, other, false);
    },
    [Symbol.asyncDispose]: async () => {
      for (const proxy of proxies.values()) await proxy.close();
    },
  };
}

/**
 * While it is cut, it accepts connections and forwards nothing. Afterwards it continues where it stopped, as TCP does.
 */
async function startProxy(port: number): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let isCut = false;
  const join = ([one, other]: readonly [Socket, Socket]) => {
    one.pipe(other);
    other.pipe(one);
  };
  const part = ([one, other]: readonly [Socket, Socket]) => {
    one.unpipe(other).pause();
    other.unpipe(one).pause();
  };
  const server = createServer((one) => {
    const other = connect(port, "127.0.0.1");
    const pair = [one, other] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket
        .on("error", () => {})
        .on("close", () => {
          for (const each of pair) each.destroy();
          pairs.delete(pair);
        });
    }
    if (isCut) part(pair);
    else join(pair);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: (now) => {
      isCut = now;
      for (const pair of pairs) (isCut ? part : join)(pair);
    },
    close: async () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
