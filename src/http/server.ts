/**
 * The HTTP server that every process runs: `/healthz`, `/readyz`, and the routes that its roles pass in.
 *
 * Every error is answered in the Matrix format, also when it comes from the HTTP server itself (bad URL, timeout).
 */
import type { RequestListener, Server } from "node:http";
import Fastify, { type FastifyError, type FastifyInstance, type FastifyPluginAsync, type FastifyReply } from "fastify";
import type { Logger } from "pino";
import type { Condition } from "../conditions.ts";
import { reasonOf } from "../errors.ts";
import {
  CONNECTIONS_MAX,
  CONNECTIONS_PER_NETWORK_MAX,
  HTTP_BODY_BYTES_MAX,
  HTTP_HEADER_BYTES_MAX,
  HTTP_KEEP_ALIVE_MS,
  HTTP_REQUEST_MS_MAX,
  PROXY_SLOW_READER_MS,
  SLOW_READER_MS,
} from "../limits.ts";
import { BadRequests } from "./bad-requests.ts";
import { boundConnections } from "./connections.ts";
import { CORS } from "./cors.ts";
import { errorBody, MatrixError, matrixErrorOf, unrecognized } from "./matrix-error.ts";
import { disconnectSlowReaders } from "./slow-readers.ts";

interface HttpServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Called on each `/readyz`, which answers 503 while this returns false. */
  readonly ready: () => boolean;
  /** What is wrong, which `/readyz` then lists: for nobody but those who watch the process. Default: it says nothing of it. */
  readonly degraded?: () => readonly Condition[];
  readonly log: Logger;
  /** Timeout for receiving a complete request, ms. Default: `HTTP_REQUEST_MS_MAX`. */
  readonly requestMs?: number;
  /** Connections in all. Default: `CONNECTIONS_MAX`. */
  readonly connectionsMax?: number;
  /** Connections of one client address. Default: `CONNECTIONS_PER_NETWORK_MAX`. */
  readonly connectionsPerNetwork?: number;
  /** A server that listens already. It then bounds its own connections and requests. Default: another one, at `host` and `port`. */
  readonly front?: FrontServer | undefined;
  /** Called for each answer. `route`: the template of its path; empty for a path of nobody. */
  readonly answered?: (route: string, status: number, ms: number) => void;
  /** Fastify plugins. Each is registered in a scope of its own. */
  readonly routes?: readonly FastifyPluginAsync[];
}

/** A server that answers requests itself, but for those that it passes on. */
export interface FrontServer {
  readonly server: Server;
  /** `http://host:port` */
  readonly url: string;
  /** Called once, when what it passes on can be answered. */
  serve(rest: RequestListener): void;
  close(): Promise<void>;
}

export interface HttpServer {
  /** `http://host:port` */
  readonly url: string;
  /** Stops accepting connections. Resolves when the pending requests are answered. */
  close(): Promise<void>;
}

/** Expired requests are swept this many times per request timeout. */
const CHECKS_PER_REQUEST_TIME = 6;
/**
 * A connection without a request is closed after so many request timeouts: later than Node answers a request of which
 * only a part has come.
 */
const REQUEST_TIMES_SILENT = 1.5;
/** What browsers may ask from any page: the APIs of Matrix, and how clients find them. */
const FOR_BROWSERS = ["/_matrix/", "/.well-known/matrix/"];
/** Clients that are older than the specification's `v3` ask the same under this prefix. */
const OLD_CLIENT_API = "/_matrix/client/r0/";
const CLIENT_API = "/_matrix/client/v3/";
/** The longest parameter of a path is an identifier of 255 bytes, percent-encoded. */
const PARAM_CHARS_MAX = 3 * 255;

export async function startHttpServer({
  host,
  port,
  ready,
  degraded,
  log,
  requestMs = HTTP_REQUEST_MS_MAX,
  connectionsMax = CONNECTIONS_MAX,
  connectionsPerNetwork = CONNECTIONS_PER_NETWORK_MAX,
  front,
  answered,
  routes = [],
}: HttpServerOptions): Promise<HttpServer> {
  const sendError = (error: unknown, reply: FastifyReply) => {
    let answer = matrixErrorOf(error);
    if (answer === undefined) {
      log.error({ err: error }, "a request failed unexpectedly");
      answer = new MatrixError(500, "M_UNKNOWN", "Internal error");
    }
    if (answer.retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(answer.retryAfterMs / 1_000));
    return reply.code(answer.status).send(errorBody(answer));
  };
  const badRequests = new BadRequests();
  let rest: RequestListener = () => {};
  const app: FastifyInstance = Fastify({
    ...(front !== undefined && {
      serverFactory: (handler: RequestListener) => {
        rest = handler;
        return front.server;
      },
    }),
    bodyLimit: HTTP_BODY_BYTES_MAX,
    requestTimeout: requestMs,
    keepAliveTimeout: HTTP_KEEP_ALIVE_MS,
    http: {
      maxHeaderSize: HTTP_HEADER_BYTES_MAX,
      headersTimeout: requestMs,
      connectionsCheckingInterval: Math.ceil(requestMs / CHECKS_PER_REQUEST_TIME),
    },
    clientErrorHandler: badRequests.refuse,
    rewriteUrl: ({ url = "/" }) =>
      url.startsWith(OLD_CLIENT_API) ? CLIENT_API + url.slice(OLD_CLIENT_API.length) : url,
    routerOptions: { maxParamLength: PARAM_CHARS_MAX },
    return503OnClosing: false,
    // Called before any hook, so the hook below has not added the CORS headers yet.
    frameworkErrors: (error: FastifyError, _request, reply) => void sendError(error, reply.headers(CORS)),
  });
  app.setErrorHandler((error, _request, reply) => sendError(error, reply));
  app.setNotFoundHandler((_request, reply) => sendError(unrecognized(), reply));
  // Hooks use callbacks: one promise per hook is a large part of the cost of a small request.
  app.addHook("onRequest", (request, reply, done) => {
    const isForBrowsers = FOR_BROWSERS.some((path) => request.url.startsWith(path));
    if (isForBrowsers) reply.headers(CORS);
    if (isForBrowsers && request.method === "OPTIONS") reply.code(204).send();
    else done();
  });
  let closing = false;
  app.addHook("onSend", (_request, reply, _payload, done) => {
    if (closing) reply.header("connection", "close");
    done();
  });
  if (answered !== undefined) {
    app.addHook("onResponse", ({ routeOptions: { url = "" } }, reply, done) => {
      answered(url, reply.statusCode, reply.elapsedTime);
      done();
    });
  }
  let endChecks = () => {};
  if (front === undefined) {
    disconnectSlowReaders(app, SLOW_READER_MS);
    endChecks = boundConnections(app.server, {
      max: connectionsMax,
      perNetwork: connectionsPerNetwork,
      silentMs: requestMs * REQUEST_TIMES_SILENT,
      keepAliveMs: HTTP_KEEP_ALIVE_MS,
    });
  } else {
    disconnectSlowReaders(app, PROXY_SLOW_READER_MS, Number.POSITIVE_INFINITY);
  }
  badRequests.watch(app.server);

  app.get("/healthz", async () => ({ ok: true }));
  app.get("/readyz", async (_, reply) => {
    if (!ready()) reply.code(503);
    return { ok: ready(), ...(degraded !== undefined && { degraded: degraded() }) };
  });
  for (const route of routes) await app.register(route);
  try {
    let url: string;
    if (front === undefined) {
      url = await app.listen({ host, port });
    } else {
      await app.ready();
      front.serve(rest);
      url = front.url;
    }
    return {
      url,
      close: async () => {
        closing = true;
        const closed = app.close();
        endChecks();
        await closed;
      },
    };
  } catch (error) {
    endChecks();
    await app.close();
    throw new Error(`could not listen on ${host}:${port}: ${reasonOf(error)}`, { cause: error });
  }
}
