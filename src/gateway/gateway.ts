/**
 * The HTTP side of a process: whether it is alive, whether it serves, and the routes of its roles.
 *
 * Every answer below `/_matrix/` is Matrix's, errors of the server itself included.
 */
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
const CLIENT_API = "/_matrix/client/";
/** No parameter of a path is longer: an identifier of 255 bytes, percent-encoded. */
const PARAM_CHARS_MAX = 3 * 255;

export async function startGateway({ host, port, ready, log, routes = [] }: GatewayOptions): Promise<Gateway> {
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
    requestTimeout: HTTP_REQUEST_MS_MAX,
    http: { maxHeaderSize: HTTP_HEADER_BYTES_MAX, headersTimeout: HTTP_REQUEST_MS_MAX },
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
