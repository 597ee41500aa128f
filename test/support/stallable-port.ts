/** A TCP forwarder that can stop forwarding: connections are accepted, and nothing comes of them. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";

export interface StallablePort extends AsyncDisposable {
  readonly url: string;
  /** Nothing is forwarded from now on. */
  stall(): void;
  /** Closes what stalled. New connections are forwarded again. */
  flow(): void;
}

export async function stallablePort(to: number): Promise<StallablePort> {
  const sockets = new Set<Socket>();
  let isStalled = false;
  const server = createServer((client) => {
    const target = connect(to, "127.0.0.1");
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {}); // `close` follows.
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
      if (isStalled) socket.pause();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stall: () => {
      isStalled = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    flow: () => {
      isStalled = false;
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
