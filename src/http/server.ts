/**
 * The HTTP server that every process runs: `/healthz`, `/readyz`, and the routes that its roles pass in.
 *
 * Every error is answered in the Matrix format, also when it comes from the HTTP server itself (bad URL, timeout).
 */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyError, type FastifyInstance, type FastifyPluginAsync, type FastifyReply } from "fastify";
import type { Logger } from "pino";
import { reasonOf } from "../errors.ts";
import { HTTP_BODY_BYTES_MAX, HTTP_HEADER_BYTES_MAX, HTTP_REQUEST_MS_MAX, SLOW_READER_MS } from "../limits.ts";
import { errorBody, MatrixError, matrixErrorOf, unrecognized } from "./matrix-error.ts";
import { disconnectSlowReaders } from "./slow-readers.ts";

interface HttpServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Called on each `/readyz`, which answers 503 while this returns false. */
  readonly ready: () => boolean;
  readonly log: Logger;
  /** Timeout for receiving a complete request, ms. Default: `HTTP_REQUEST_MS_MAX`. */
  readonly requestMs?: number;
  /** Fastify plugins. Each is registered in a scope of its own. */
  readonly routes?: readonly FastifyPluginAsync[];
}

export interface HttpServer {
  /** `http://host:port` */
  readonly url: string;
  /** Stops accepting connections. Resolves when the pending requests are answered. */
  close(): Promise<void>;
}

/** Matrix specification, client-server API, "Web Browser Clients". */
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
  "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization",
};
/** Expired requests are swept this many times per request timeout. */
const CHECKS_PER_REQUEST_TIME = 6;
const CLIENT_API = "/_matrix/client/";
/** The longest parameter of a path is an identifier of 255 bytes, percent-encoded. */
const PARAM_CHARS_MAX = 3 * 255;

export async function startHttpServer({
  host,
  port,
  ready,
  log,
  requestMs = HTTP_REQUEST_MS_MAX,
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
  const app: FastifyInstance = Fastify({
    bodyLimit: HTTP_BODY_BYTES_MAX,
    requestTimeout: requestMs,
    http: {
      maxHeaderSize: HTTP_HEADER_BYTES_MAX,
      headersTimeout: requestMs,
      connectionsCheckingInterval: Math.ceil(requestMs / CHECKS_PER_REQUEST_TIME),
    },
    clientErrorHandler: refuseBadRequest,
    routerOptions: { maxParamLength: PARAM_CHARS_MAX },
    return503OnClosing: false,
    // Called before any hook, so the hook below has not added the CORS headers yet.
    frameworkErrors: (error: FastifyError, _request, reply) => void sendError(error, reply.headers(CORS)),
  });
  app.setErrorHandler((error, _request, reply) => sendError(error, reply));
  app.setNotFoundHandler((_request, reply) => sendError(unrecognized(), reply));
  // Hooks use callbacks: one promise per hook is a large part of the cost of a small request.
  app.addHook("onRequest", (request, reply, done) => {
    const isClientApi = request.url.startsWith(CLIENT_API);
    if (isClientApi) reply.headers(CORS);
    if (isClientApi && request.method === "OPTIONS") reply.code(204).send();
    else done();
  });
  let closing = false;
  app.addHook("onSend", (_request, reply, _payload, done) => {
    if (closing) reply.header("connection", "close");
    done();
  });
  disconnectSlowReaders(app, SLOW_READER_MS);

  app.get("/healthz", async () => ({ ok: true }));
  app.get("/readyz", async (_, reply) => {
    if (!ready()) reply.code(503);
    return { ok: ready() };
  });
  for (const route of routes) await app.register(route);
  try {
    const url = await app.listen({ host, port });
    return {
      url,
      close: () => {
        closing = true;
        return app.close();
      },
    };
  } catch (error) {
    await app.close();
    throw new Error(`could not listen on ${host}:${port}: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Requests that Node's HTTP parser rejects never reach Fastify: the answer is written to the socket, which is then
 * closed.
 */
const BAD_REQUESTS: Readonly<Record<string, MatrixError>> = {
  ERR_HTTP_REQUEST_TIMEOUT: new MatrixError(408, "M_UNKNOWN", "The request took too long to arrive"),
  HPE_HEADER_OVERFLOW: new MatrixError(431, "M_TOO_LARGE", "The request's headers are too large"),
};
const NOT_HTTP = new MatrixError(400, "M_UNRECOGNIZED", "This is not an HTTP request");

function refuseBadRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  const answer = BAD_REQUESTS[error.code ?? ""] ?? NOT_HTTP;
  const body = JSON.stringify(errorBody(answer));
  if (socket.writable && error.code !== "ECONNRESET") {
    const head = { ...CORS, "content-type": "application/json; charset=utf-8", connection: "close" };
    const lines = Object.entries({ ...head, "content-length": Buffer.byteLength(body) });
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${text}\r\n${body}`);
  }
  socket.destroySoon();
}
