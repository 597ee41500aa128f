/**
 * Bounds what strangers can hold open: connections in all and of one network, connections on which nothing is asked, and
 * requests that wait for their answers on one connection.
 *
 *     accepted ──no request for silentMs──▶ closed
 *        │request                  ▲
 *        ▼                         │no request for keepAliveMs + silentMs
 *      asked ──answered──────▶ answered
 *        └──more than REQUESTS_PER_CONNECTION_MAX unanswered after a turn of the event loop──▶ closed
 *
 * Node closes a connection on which half a request arrives, and one that stays quiet after an answer. It does not close
 * one that never begins a request, or that sends empty lines.
 *
 * The address is that of the connection. Behind a proxy all clients have the proxy's, so the bound for a network must be
 * raised there, and the proxy has to bound its clients.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { REQUESTS_PER_CONNECTION_MAX } from "../limits.ts";
import { networkOf } from "./wrong-secrets.ts";

export interface ConnectionLimits {
  /** Connections in all. */
  readonly max: number;
  /** Connections of one address, or of one /64 of IPv6. */
  readonly perNetwork: number;
  /** How long a connection may be open without a request. */
  readonly silentMs: number;
  /** How long Node keeps a connection open after an answer. */
  readonly keepAliveMs: number;
}

/** Connections are checked so many times per `silentMs`. */
const CHECKS_PER_SILENT_TIME = 4;

interface Connection {
  readonly network: string;
  readonly unanswered: Set<ServerResponse>;
  /** Called when the connection is closed. */
  readonly onGone: Set<() => void>;
  hasAsked: boolean;
  /** Whether the number of unanswered requests is looked at after this turn of the event loop. */
  isChecked: boolean;
  /** Since when nothing is unanswered, as a `performance.now()` time. */
  silentSince: number;
}

const connections = new WeakMap<Socket, Connection>();

/**
 * Calls back when the connection is closed. Node says so itself only for the first of the requests that wait on it.
 * Returns a function that forgets the callback.
 */
export function whenGone(socket: Socket, callback: () => void): () => void {
  const connection = connections.get(socket);
  if (socket.destroyed) callback();
  else connection?.onGone.add(callback);
  return () => void connection?.onGone.delete(callback);
}

function closeIfTooMany(socket: Socket, connection: Connection): void {
  connection.isChecked = false;
  let waiting = 0;
  for (const { writableEnded } of connection.unanswered) if (!writableEnded) waiting++;
  if (waiting > REQUESTS_PER_CONNECTION_MAX) socket.destroy();
}

/**
 * Returns a function for a server that closes: it ends the checks, and closes the connections on which nothing was ever asked. Node
 * closes those that are idle after an answer; it would wait for these.
 */
export function boundConnections(server: Server, limits: ConnectionLimits): () => void {
  const open = new Set<Socket>();
  const perNetwork = new Map<string, number>();
  let isEnded = false;
  server.maxConnections = limits.max;

  server.on("connection", (socket: Socket) => {
    const network = networkOf(socket.remoteAddress ?? "");
    const count = (perNetwork.get(network) ?? 0) + 1;
    if (isEnded || count > limits.perNetwork) {
      socket.destroy();
      return;
    }
    perNetwork.set(network, count);
    open.add(socket);
    const connection: Connection = {
      network,
      unanswered: new Set(),
      onGone: new Set(),
      hasAsked: false,
      isChecked: false,
      silentSince: performance.now(),
    };
    connections.set(socket, connection);
    socket.once("close", () => {
      open.delete(socket);
      const left = perNetwork.get(network)! - 1;
      if (left === 0) perNetwork.delete(network);
      else perNetwork.set(network, left);
      for (const callback of connection.onGone) callback();
    });
  });

  server.on("request", (request, response) => {
    const connection = connections.get(request.socket);
    if (connection === undefined) return;
    const { unanswered } = connection;
    connection.hasAsked = true;
    unanswered.add(response);
    // Many that come at once may be answered at once: those that still wait after this turn count.
    if (unanswered.size > REQUESTS_PER_CONNECTION_MAX && !connection.isChecked) {
      connection.isChecked = true;
      setImmediate(closeIfTooMany, request.socket, connection);
    }
    response.once("close", () => {
      unanswered.delete(response);
      if (unanswered.size === 0) connection.silentSince = performance.now();
    });
  });

  const timer = setInterval(() => {
    const now = performance.now();
    for (const socket of open) {
      const { unanswered, hasAsked, silentSince } = connections.get(socket)!;
      const limitMs = limits.silentMs + (hasAsked ? limits.keepAliveMs : 0);
      if (unanswered.size === 0 && now - silentSince > limitMs) socket.destroy();
    }
  }, limits.silentMs / CHECKS_PER_SILENT_TIME);
  timer.unref();
  return () => {
    isEnded = true;
    clearInterval(timer);
    for (const socket of open) if (!connections.get(socket)!.hasAsked) socket.destroy();
  };
}
