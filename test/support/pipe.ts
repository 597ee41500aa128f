/**
 * A way to the broker that can lose what is on it: connections go through here, and back from there only while it is
 * open.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";

export interface Pipe extends AsyncDisposable {
  readonly url: string;
  /** From now on, what the broker sends gets no further. */
  hold(): void;
  /** Breaks all connections, with what is on them. New ones are whole. */
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
      socket.on("error", () => {}); // Its close says it.
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
        broker.resume(); // Taken from the broker, and lost.
      }
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      server.close();
      cut();
    },
  };
}
