/**
 * Answers requests that Node's HTTP parser rejects. They never reach Fastify, so the answer is written to the socket,
 * which is then closed.
 *
 * Answers on a connection are in the order of its requests. A bad request may follow others that are not answered yet,
 * such as a long poll: then its answer waits for theirs.
 */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { CORS } from "./cors.ts";
import { errorBody, MatrixError } from "./matrix-error.ts";

const BAD_REQUESTS: Readonly<Record<string, MatrixError>> = {
  ERR_HTTP_REQUEST_TIMEOUT: new MatrixError(408, "M_UNKNOWN", "The request took too long to arrive"),
  HPE_HEADER_OVERFLOW: new MatrixError(431, "M_TOO_LARGE", "The request's headers are too large"),
};
const NOT_HTTP = new MatrixError(400, "M_UNRECOGNIZED", "This is not an HTTP request");

interface Newest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The response to the request before, if that was not finished when this one came. */
  readonly before: ServerResponse | undefined;
}

export class BadRequests {
  readonly #newest = new WeakMap<Socket, Newest>();
  readonly #refused = new WeakSet<Socket>();

  watch(server: Server): void {
    server.on("request", (request, response) => {
      const before = this.#newest.get(request.socket)?.response;
      this.#newest.set(request.socket, { request, response, before: before?.writableFinished ? undefined : before });
    });
  }

  /** Called for each error of the parser. It goes on to report whatever follows a bad request. */
  readonly refuse = (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (this.#refused.has(socket)) return;
    this.#refused.add(socket);
    const awaited = this.#awaited(socket);
    if (awaited === undefined || awaited.writableFinished || awaited.destroyed) refuse(error, socket);
    else awaited.once("close", () => refuse(error, socket));
  };

  /** The response after which the bad request is answered: when it is finished, those before it are, too. */
  #awaited(socket: Socket): ServerResponse | undefined {
    const newest = this.#newest.get(socket);
    // The bad request is the newest one itself if only its body is missing.
    return newest?.request.complete === false ? newest.before : newest?.response;
  }
}

function refuse({ code = "" }: NodeJS.ErrnoException, socket: Socket): void {
  if (socket.writable && code !== "ECONNRESET") {
    const answer = BAD_REQUESTS[code] ?? NOT_HTTP;
    const body = JSON.stringify(errorBody(answer));
    const head = { ...CORS, "content-type": "application/json; charset=utf-8", connection: "close" };
    const lines = Object.entries({ ...head, "content-length": Buffer.byteLength(body) });
    const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${text}\r\n${body}`);
  }
  socket.destroySoon();
}
