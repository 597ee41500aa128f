/**
 * The HTTP side of a process: whether it is alive, whether it serves, and the routes of its roles.
 *
 * Every answer below `/_matrix/` is Matrix's, errors of the server itself included.
 */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyError, type FastifyInstance, type FastifyPluginAsync, type FastifyReply } from "fastify";
import type { Logger } from "pino";
import { reasonOf } from "../errors.ts";
import { HTTP_BODY_BYTES_MAX, HTTP_HEADER_BYTES_MAX, HTTP_REQUEST_MS_MAX, SLOW_READER_MS } from "../limits.ts";
import { errorBody, MatrixError, matrixErrorOf, unrecognized } from "./matrix-error.ts";
import { cutOffSlowReaders } from "./slow-readers.ts";

interface GatewayOptions {
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
  readonly ready: () => boolean;
  readonly log: Logger;
  /** A request has to be here completely within so long, ms, or a little more. */
  readonly requestMs?: number;
  /** What else is served. Each is a Fastify plugin, with a scope of its own. */
  readonly routes?: readonly FastifyPluginAsync[];
}

export interface Gateway {
  /** `http://host:port` */
  readonly url: string;
  /** Answers what was asked, and closes. */
  close(): Promise<void>;
}

/** Matrix specification, client-server API, "Web Browser Clients". */
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
  "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization",
};
/** How often it is looked for requests that take too long. */
const CHECKS_PER_REQUEST_TIME = 6;
const CLIENT_API = "/_matrix/client/";
/** No parameter of a path is longer: an identifier of 255 bytes, percent-encoded. */
const PARAM_CHARS_MAX = 3 * 255;

export async function startGateway({
  host,
  port,
  ready,
  log,
  requestMs = HTTP_REQUEST_MS_MAX,
  routes = [],
}: GatewayOptions): Promise<Gateway> {
  const sendError = (error: unknown, reply: FastifyReply) => {
    let answer = matrixErrorOf(error);
    if (answer === undefined) {
      log.error({ err: error }, "a request failed in an unforeseen way");
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
    // Comes before any hook.
    frameworkErrors: (error: FastifyError, _request, reply) => void sendError(error, reply.headers(CORS)),
  });
  app.setErrorHandler((error, _request, reply) => sendError(error, reply));
  app.setNotFoundHandler((_request, reply) => sendError(unrecognized(), reply));
  // Hooks call back: a promise for each of them is a good part of what a small request costs.
  app.addHook("onRequest", (request, reply, done) => {
    const isClients = request.url.startsWith(CLIENT_API);
    if (isClients) reply.headers(CORS);
    if (isClients && request.method === "OPTIONS") reply.code(204).send();
    else done();
  });
  let closing = false;
  app.addHook("onSend", (_request, reply, _payload, done) => {
    if (closing) reply.header("connection", "close");
    done();
  });
  cutOffSlowReaders(app, SLOW_READER_MS);

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

/** What is no request, or doesn't come to its end, has no route and no reply: its connection is told, and closed. */
const BAD_REQUESTS: Readonly<Record<string, MatrixError>> = {
  ERR_HTTP_REQUEST_TIMEOUT: new MatrixError(408, "M_UNKNOWN", "The request took too long to arrive"),
  HPE_HEADER_OVERFLOW: new MatrixError(431, "M_TOO_LARGE", "The request's headers are too large"),
};
const NO_REQUEST = new MatrixError(400, "M_UNRECOGNIZED", "This is no HTTP request");

function refuseBadRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  const answer = BAD_REQUESTS[error.code ?? ""] ?? NO_REQUEST;
  const body = JSON.stringify(errorBody(answer));
  if (socket.writable && error.code !== "ECONNRESET") {
    const head = { ...CORS, "content-type": "application/json; charset=utf-8", connection: "close" };
    const lines = Object.entries({ ...head, "content-length": Buffer.byteLength(body) });
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${text}\r\n${body}`);
  }
  socket.destroySoon();
}
