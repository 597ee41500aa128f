/** Three network namespaces on a bridge, one a server, so that servers can be cut from each other. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ServerPlaces } from "../support/nats-cluster.ts";

const run = promisify(execFile);
const ip = (...args: string[]) => run("ip", args);
const SIZE = 3;

export interface Network extends AsyncDisposable {
  readonly places: ServerPlaces;
  /** Drops everything between two servers; resolves to what lets it through again. */
  cut(one: number, other: number): Promise<() => Promise<void>>;
}

/** undefined where namespaces may not be made. */
export async function makeNetwork(): Promise<Network | undefined> {
  const tag = `tm${process.pid % 100_000}`;
  const net = `10.213.${process.pid % 250}`;
  const hosts = Array.from({ length: SIZE }, (_, i) => `${net}.${11 + i}`);
  const namespace = (i: number) => `${tag}n${i}`;
  const dispose = async () => {
    for (let i = 0; i < SIZE; i++) await ip("netns", "del", namespace(i)).catch(() => {});
    await ip("link", "del", tag).catch(() => {});
  };
  try {
    await ip("link", "add", tag, "type", "bridge");
    await ip("addr", "add", `${net}.1/24`, "dev", tag);
    await ip("link", "set", tag, "up");
    for (let i = 0; i < SIZE; i++) {
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
