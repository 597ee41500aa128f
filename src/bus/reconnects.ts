/** What wants to know that a connection was lost and is there again: one listener for each connection. */
import type { NatsConnection } from "nats";

const listeners = new WeakMap<NatsConnection, Set<() => void>>();

/** Calls back after every reconnect, until the returned function is called. */
export function onReconnect(nc: NatsConnection, callback: () => void): () => void {
  let callbacks = listeners.get(nc);
  if (callbacks === undefined) {
    callbacks = new Set();
    listeners.set(nc, callbacks);
    void listen(nc, callbacks);
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

async function listen(nc: NatsConnection, callbacks: ReadonlySet<() => void>): Promise<void> {
  for await (const { type } of nc.status()) {
    if (type === "reconnect") for (const callback of [...callbacks]) callback();
  }
}
