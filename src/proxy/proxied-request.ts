/**
 * One request on its way through the proxy.
 *
 *     client ──headers, body, trailers──▶ homeserver ──┬── streamed as it comes ───────▶ client
 *                                                      └── held, annotated ────────────▶ client   (paths with events)
 *
 * - Both bodies are streamed with back pressure: a side that doesn't read holds up the other, and nothing is gathered but
 *   answers that are annotated.
 * - When the client hangs up, the request to the homeserver is aborted. When the homeserver breaks off an answer, so does the
 *   proxy: the client sees no end where none was.
 * - A homeserver that can't be reached is answered for with 502. A request without a body whose kept connection was just being
 *   closed is sent once more.
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { CORS } from "../http/cors.ts";
import { errorBody, MatrixError } from "../http/matrix-error.ts";
import { PROXY_RECEIPT_BYTES_MAX } from "../limits.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { type Annotated, annotatedRequest } from "./annotated-paths.ts";
import { annotate, canHaveOrders, type FindOrders, gather, type HeldBytes, type Outcome } from "./annotation.ts";
import { type Asker, askerOf } from "./askers.ts";
import { hasLongBody, passLongBody } from "./long-bodies.ts";
import { type PostedReceipt, type ReceiptPath, receiptPath, receiptsIn } from "./posted-receipts.ts";
import { endToEnd, pairs, readableEncodings, requestHeaders } from "./proxied-headers.ts";
import type { ShownMarker } from "./shown-markers.ts";
import type { Upstream } from "./upstream.ts";

export interface ProxyContext {
  readonly upstream: Upstream;
  readonly held: HeldBytes;
  readonly findOrders: FindOrders;
  /** The names under which an order is written. */
  readonly orderNames: readonly string[];
  /** Called for each answer on an annotated path. */
  readonly onAnswer: (outcome: Outcome) => void;
  /** Called when the homeserver has accepted receipts. */
  readonly onReceipts: (asker: Asker, room: RoomId, receipts: readonly PostedReceipt[]) => void;
  /** Called when a request with receipts ends before its answer: the homeserver may have accepted them or not. */
  readonly onUnsure: (asker: Asker) => void;
  /** Called for each request for events of a sender whom the homeserver knows: it has answered, or lets a long poll wait. */
  readonly onSeen: (asker: Asker) => void;
  /** The user, if that is known by now. */
  readonly userOf: (asker: Asker) => UserId | undefined;
  /** Called with the sender's own markers that a `/sync` shows. */
  readonly onShown: (asker: Asker, markers: readonly ShownMarker[]) => void;
  /** Called for each answer, whatever it is. */
  readonly onReached: () => void;
  /** Called when the homeserver can't be reached, or breaks off. */
  readonly onFailed: (error: unknown) => void;
}

/** A request of somebody whom the homeserver doesn't know is refused sooner. */
const LONG_POLL_MS = 1_000;

const BAD_GATEWAY = new MatrixError(502, "M_UNKNOWN", "The homeserver can't be reached");
/** A connection that the other side has closed. */
const CLOSED: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "EPIPE"]);

export function proxyRequest(request: IncomingMessage, response: ServerResponse, context: ProxyContext): void {
  new ProxiedRequest(request, response, context).send();
}

class ProxiedRequest {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #context: ProxyContext;
  readonly #annotated: Annotated | undefined;
  readonly #receiptPath: ReceiptPath | undefined;
  /** What is sent of a body with receipts; undefined once it is too large. */
  #copied: Buffer[] | undefined = [];
  #copiedBytes = 0;
  readonly #hasBody: boolean;
  #upstream: ClientRequest | undefined;
  #isRepeated = false;
  #isAnswered = false;
  #isGone = false;
  #hasFailed = false;
  #longPoll: NodeJS.Timeout | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, context: ProxyContext) {
    this.#request = request;
    this.#response = response;
    this.#context = context;
    this.#annotated = annotatedRequest(request);
    this.#receiptPath = receiptPath(request);
    const { "transfer-encoding": coding, "content-length": length } = request.headers;
    this.#hasBody = coding !== undefined || Number(length) > 0;
    const gone = () => {
      clearTimeout(this.#longPoll);
      if (response.writableFinished || this.#isGone) return;
      this.#isGone = true;
      this.#leaveUnsure();
      this.#upstream?.destroy();
    };
    // Node tells a response that its connection is gone only if it is the first of those that wait on it.
    request.socket.once("close", gone);
    response.once("close", () => {
      request.socket.off("close", gone);
      gone();
    });
    response.on("error", () => {});
  }

  send(): void {
    const { upstream } = this.#context;
    const { method = "GET", url = "/", headers } = this.#request;
    const acceptEncoding =
      this.#annotated === undefined ? undefined : readableEncodings(headers["accept-encoding"]?.toString());
    let opened: ClientRequest;
    try {
      opened = upstream.open({
        method,
        path: url,
        headers: requestHeaders(this.#request, { host: upstream.host, acceptEncoding }),
      });
    } catch (error) {
      this.#fail(error); // Node sends no such path or header.
      return;
    }
    this.#upstream = opened;
    opened.on("error", (error: NodeJS.ErrnoException) => this.#broken(opened, error));
    opened.once("response", (answer) => void this.#answer(answer));
    if (this.#annotated?.isIncremental && this.#longPoll === undefined) {
      this.#longPoll = setTimeout(() => this.#seen(), LONG_POLL_MS).unref();
    }
    if (headers.expect !== undefined) opened.on("continue", () => this.#response.writeContinue());
    if (this.#hasBody) this.#sendBody(opened);
    else opened.end();
  }

  #sendBody(opened: ClientRequest): void {
    const request = this.#request;
    const finish = () => {
      if (request.rawTrailers.length > 0) opened.addTrailers(pairs(request.rawTrailers));
      opened.end();
    };
    request.once("end", finish);
    if (this.#receiptPath !== undefined) request.on("data", (chunk: Buffer) => this.#copy(chunk));
    opened.flushHeaders(); // The body may come much later.
    request.pipe(opened, { end: false });
    opened.once("close", () => {
      // A homeserver may answer before it has everything. What the client still sends goes nowhere.
      request.off("end", finish);
      request.unpipe(opened);
      request.resume();
    });
  }

  #copy(chunk: Buffer): void {
    this.#copiedBytes += chunk.length;
    if (this.#copiedBytes > PROXY_RECEIPT_BYTES_MAX) this.#copied = undefined;
    this.#copied?.push(chunk);
  }

  /** The homeserver has accepted the request. */
  #tellReceipts(path: ReceiptPath): void {
    const { upstream, onReceipts } = this.#context;
    const asker = askerOf(this.#request, upstream.host);
    if (asker === undefined || this.#copied === undefined) return;
    const receipts = receiptsIn(path, Buffer.concat(this.#copied));
    if (receipts.length > 0) onReceipts(asker, path.room, receipts);
  }

  #broken(opened: ClientRequest, error: NodeJS.ErrnoException): void {
    // After the answer's head, the answer itself says how it ends.
    if (this.#isGone || this.#isAnswered || opened !== this.#upstream) return;
    if (
      !this.#hasBody &&
      !this.#isRepeated &&
      opened.reusedSocket &&
      CLOSED.has(error.code) &&
      !this.#response.headersSent
    ) {
      this.#isRepeated = true;
      this.send();
      return;
    }
    this.#fail(error);
  }

  #fail(error: unknown): void {
    const response = this.#response;
    if (this.#isGone || this.#hasFailed || response.writableEnded) return;
    this.#hasFailed = true;
    clearTimeout(this.#longPoll);
    this.#leaveUnsure();
    this.#context.onFailed(error);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const body = JSON.stringify(errorBody(BAD_GATEWAY));
    response.writeHead(BAD_GATEWAY.status, {
      ...CORS,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    });
    response.end(body);
  }

  async #answer(answer: IncomingMessage): Promise<void> {
    this.#isAnswered = true;
    clearTimeout(this.#longPoll);
    this.#context.onReached();
    this.#response.sendDate = false; // The homeserver's date goes on.
    answer.on("error", (error) => this.#fail(error));
    if (this.#annotated === undefined || !canHaveOrders(answer)) this.#stream(answer, []);
    else await this.#annotate(answer, this.#annotated).catch((error) => this.#fail(error));
    // The client doesn't wait for what is done with its answer here.
    if (answer.statusCode !== 200) return;
    if (this.#receiptPath !== undefined) this.#tellReceipts(this.#receiptPath);
    if (this.#annotated?.kind === "events") this.#seen();
  }

  #seen(): void {
    const asker = askerOf(this.#request, this.#context.upstream.host);
    if (asker !== undefined) this.#context.onSeen(asker);
  }

  /** The request ends. */
  #leaveUnsure(): void {
    if (this.#receiptPath === undefined || this.#isAnswered || this.#upstream === undefined) return;
    const asker = askerOf(this.#request, this.#context.upstream.host);
    if (asker !== undefined) this.#context.onUnsure(asker);
  }

  async #annotate(answer: IncomingMessage, annotated: Annotated): Promise<void> {
    const { upstream, held, findOrders, orderNames, onAnswer, userOf, onShown } = this.#context;
    const asker = annotated.kind === "events" ? askerOf(this.#request, upstream.host) : undefined;
    const { chunks, bytes, refused } = await gather(answer, held);
    try {
      if (refused !== undefined) {
        onAnswer(refused);
        this.#stream(answer, chunks);
        return;
      }
      const encoding = answer.headers["content-encoding"];
      const { body, outcome } = await annotate(Buffer.concat(chunks), {
        annotated,
        encoding,
        findOrders,
        orderNames,
        user: asker && userOf(asker),
        onShown: (markers) => asker && onShown(asker, markers),
      });
      onAnswer(outcome);
      if (this.#isGone) return;
      const headers = endToEnd(answer.rawHeaders, ["content-length"]);
      // With trailers, the body must be chunked.
      if (answer.rawTrailers.length === 0) headers.push("Content-Length", String(body.length));
      this.#response.writeHead(answer.statusCode!, answer.statusMessage, headers);
      this.#end(answer, body);
    } finally {
      held.release(bytes);
    }
  }

  /** `read`: what was read of the answer already. */
  #stream(answer: IncomingMessage, read: readonly Buffer[]): void {
    if (this.#isGone) {
      answer.destroy();
      return;
    }
    const response = this.#response;
    response.writeHead(answer.statusCode!, answer.statusMessage, endToEnd(answer.rawHeaders));
    // The head goes with the body, unless that comes later.
    const late = setImmediate(() => response.flushHeaders());
    for (const chunk of read) response.write(chunk);
    let isWhole = () => answer.complete;
    answer.once("end", () => this.#end(answer));
    answer.once("close", () => {
      clearImmediate(late);
      if (!isWhole()) this.#fail(new Error("the homeserver broke off its answer"));
    });
    answer.once("data", (first: Buffer) => {
      clearImmediate(late);
      const { upstream } = this.#context;
      const end = () => {
        response.end();
        this.#upstream?.destroy();
      };
      const passed =
        read.length === 0 && hasLongBody(answer)
          ? passLongBody(answer, first, { response, upstream, onEnd: end })
          : undefined;
      if (passed !== undefined) {
        isWhole = passed;
        return;
      }
      response.write(first);
      answer.pipe(response, { end: false });
    });
    answer.resume(); // What has read of it may have paused it.
  }

  #end(answer: IncomingMessage, body?: Buffer): void {
    if (answer.rawTrailers.length > 0) this.#response.addTrailers(pairs(answer.rawTrailers));
    this.#response.end(body);
  }
}
