/**
 * A proxy to the broker that can lose messages in flight: it always forwards what clients send, and it can drop what
 * the broker sends.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";

export interface Pipe extends AsyncDisposable {
  readonly url: string;
  /** Drops what the broker sends from now on. */
  hold(): void;
  /** Closes all connections and drops the data on them. New connections work normally. */
  cut(): void;
}

export async function pipeTo(url: string): Promise<Pipe> {
  const { hostname, port } = new URL(url);
  const pairs = new Set<readonly [client: Socket, broker: Socket]>();
  const server = createServer((client) => {
    const broker = connect(Number(port), hostname);
    const pair = [client, broker] as const;
    pairs.add(pair);
    client.pipe(broker);
    broker.pipe(client);
    for (const socket of pair) {
      socket.on("error", () => {}); // `close` follows.
      socket.on("close", () => {
        pairs.delete(pair);
        for (const end of pair) end.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: () => {
      for (const [client, broker] of pairs) {
        broker.unpipe(client);
        broker.resume(); // Read and dropped.
      }
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      server.close();
      cut();
    },
  };
}
