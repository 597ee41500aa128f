/** A homeserver whose every answer a test writes, behind a proxy without a broker. */
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { STABLE_ORDER, UNSTABLE_ORDER } from "../../src/matrix/order-names.ts";
import type { FindOrders, Outcome } from "../../src/proxy/annotation.ts";
import type { Asker } from "../../src/proxy/askers.ts";
import { ProxyServer } from "../../src/proxy/proxy-server.ts";
import { Upstream } from "../../src/proxy/upstream.ts";
import { LIMIT_MS } from "./harness.ts";

export interface Listening extends AsyncDisposable {
  readonly url: string;
}

export async function listening(server: Server): Promise<Listening> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface ProxiedHomeserver extends AsyncDisposable {
  /** Of the proxy. */
  readonly url: string;
  readonly server: Server;
  /** What became of the answers on annotated paths. */
  readonly outcomes: Outcome[];
  readonly failures: unknown[];
  /** Whose requests with receipts ended before their answers. */
  readonly unsure: Asker[];
}

interface ProxiedOptions {
  /** Of the homeserver's base URL. Default: none. */
  readonly basePath?: string;
  /** Default: no event has an order. */
  readonly findOrders?: FindOrders;
  /** Default: both. */
  readonly orderNames?: readonly string[];
}

/** Starts a proxy before an address, which puts in no orders. */
export function listenBefore(url: string, onFailed: (error: unknown) => void = () => {}): Promise<ProxyServer> {
  return ProxyServer.listen({
    host: "127.0.0.1",
    port: 0,
    upstream: new Upstream(url),
    findOrders: async () => () => undefined,
    orderNames: [],
    onAnswer: () => {},
    onReceipts: () => {},
    onSeen: () => {},
    userOf: () => undefined,
    onShown: () => {},
    onUnsure: () => {},
    onReached: () => {},
    onFailed,
  });
}

/** Starts a proxy in front of a homeserver that answers with `answer`. */
export async function startProxied(
  answer: RequestListener | Server,
  {
    basePath = "",
    findOrders = async () => () => undefined,
    orderNames = [STABLE_ORDER, UNSTABLE_ORDER],
  }: ProxiedOptions = {},
): Promise<ProxiedHomeserver> {
  const server = typeof answer === "function" ? createServer(answer) : answer;
  const homeserver = await listening(server);
  const outcomes: Outcome[] = [];
  const failures: unknown[] = [];
  const unsure: Asker[] = [];
  const proxy = await ProxyServer.listen({
    host: "127.0.0.1",
    port: 0,
    upstream: new Upstream(homeserver.url + basePath),
    findOrders,
    orderNames,
    onAnswer: (outcome) => outcomes.push(outcome),
    onReceipts: () => {},
    onSeen: () => {},
    userOf: () => undefined,
    onShown: () => {},
    onUnsure: (asker) => unsure.push(asker),
    onReached: () => {},
    onFailed: (error) => failures.push(error),
  });
  return {
    url: proxy.url,
    server,
    outcomes,
    failures,
    unsure,
    [Symbol.asyncDispose]: async () => {
      proxy.server.closeAllConnections();
      await proxy.close();
      await homeserver[Symbol.asyncDispose]();
    },
  };
}

/** A connection to a server. */
export function connected(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setTimeout(LIMIT_MS, () => socket.destroy());
  return socket;
}

/** Writes a request to a new connection. Resolves to everything that comes until it is closed. */
export async function exchanged(url: string, request: string): Promise<string> {
  const socket = connected(url);
  socket.write(request, "latin1");
  return text(socket);
}

/** Reads from a connection until the text has come. Resolves to what came so far. */
export function untilText(socket: Socket, wanted: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const ended = () => reject(new Error(`closed before ${JSON.stringify(wanted)}: ${received}`));
    const read = (chunk: Buffer) => {
      received += chunk.toString("latin1");
      if (!received.includes(wanted)) return;
      socket.off("data", read).off("close", ended);
      resolve(received);
    };
    socket.on("data", read).on("close", ended);
  });
}

/** A port at which nobody listens now. */
export async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
