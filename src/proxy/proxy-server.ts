/**
 * The HTTP server of a proxy (docs/design.md#the-proxy). It listens before anything else of the process is ready, so that
 * clients reach their homeserver while Tidemark starts.
 *
 *     request ──own path──────▶ the process's routes, once there are any; 503 before
 *             ──any other path─▶ the homeserver
 *
 * It takes requests before any router sees them: routers decode paths, and refuse some that a homeserver may answer.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { reasonOf } from "../errors.ts";
import { boundConnections } from "../http/connections.ts";
import { errorBody, MatrixError } from "../http/matrix-error.ts";
import type { FrontServer } from "../http/server.ts";
import {
  CONNECTIONS_MAX,
  CONNECTIONS_PER_NETWORK_MAX,
  HTTP_HEADER_BYTES_MAX,
  HTTP_KEEP_ALIVE_MS,
  HTTP_REQUEST_MS_MAX,
  PROXY_DRAIN_MS,
  PROXY_KEEP_ALIVE_MS,
} from "../limits.ts";
import { HeldBytes } from "./annotation.ts";
import { type ProxyContext, proxyRequest } from "./proxied-request.ts";

interface ProxyServerOptions extends Omit<ProxyContext, "held"> {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Connections of one client address. Default: `CONNECTIONS_PER_NETWORK_MAX`. */
  readonly connectionsPerNetwork?: number;
}

/** What this process answers itself: its health, a homeserver that pushes, the inspector. */
const OWN_PATH = /^\/(?:healthz|readyz|_matrix\/app\/|inspect(?:[/?]|$))/;
const HEALTH_PATH = /^\/(?:healthz|readyz)(?:\?|$)/;
const STARTING = new MatrixError(503, "M_UNKNOWN", "Tidemark is starting");
/** A connection without a request is closed after so many request timeouts. */
const REQUEST_TIMES_SILENT = 1.5;

export class ProxyServer implements FrontServer {
  readonly server: Server;
  readonly #context: ProxyContext;
  /** Requests whose client waits for "100 Continue". */
  readonly #expecting = new WeakSet<IncomingMessage>();
  readonly #endChecks: () => void;
  #own: RequestListener | undefined;

  private constructor({ connectionsPerNetwork = CONNECTIONS_PER_NETWORK_MAX, ...context }: ProxyServerOptions) {
    this.#context = { ...context, held: new HeldBytes() };
    this.server = createServer({
      // An upload may take as long as it needs.
      requestTimeout: 0,
      headersTimeout: HTTP_REQUEST_MS_MAX,
      keepAliveTimeout: HTTP_KEEP_ALIVE_MS,
      maxHeaderSize: HTTP_HEADER_BYTES_MAX,
      keepAlive: true,
      keepAliveInitialDelay: PROXY_KEEP_ALIVE_MS,
    });
    this.server.on("request", (request, response) => this.#received(request, response));
    for (const event of ["checkContinue", "checkExpectation"]) {
      this.server.on(event, (request: IncomingMessage, response: ServerResponse) => {
        this.#expecting.add(request);
        this.server.emit("request", request, response);
      });
    }
    this.#endChecks = boundConnections(this.server, {
      max: CONNECTIONS_MAX,
      perNetwork: connectionsPerNetwork,
      silentMs: HTTP_REQUEST_MS_MAX * REQUEST_TIMES_SILENT,
      keepAliveMs: HTTP_KEEP_ALIVE_MS,
    });
  }

  static async listen(options: ProxyServerOptions): Promise<ProxyServer> {
    const proxy = new ProxyServer(options);
    const { host, port } = options;
    try {
      await new Promise<void>((resolve, reject) => {
        proxy.server.once("error", reject).listen(port, host, () => {
          proxy.server.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      proxy.#endChecks();
      throw new Error(`could not listen on ${host}:${port}: ${reasonOf(error)}`, { cause: error });
    }
    return proxy;
  }

  get url(): string {
    const { address, family, port } = this.server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  serve(own: RequestListener): void {
    this.#own = own;
  }

  /** Stops accepting connections. Requests under way have a moment; long polls are cut off, and their clients ask again. */
  async close(): Promise<void> {
    this.#endChecks();
    const closed = new Promise((resolve) => this.server.close(resolve));
    const timer = setTimeout(() => this.server.closeAllConnections(), PROXY_DRAIN_MS);
    await closed;
    clearTimeout(timer);
    this.#context.upstream.close();
  }

  #received(request: IncomingMessage, response: ServerResponse): void {
    const { url = "" } = request;
    if (!OWN_PATH.test(url)) {
      proxyRequest(request, response, this.#context);
      return;
    }
    if (this.#expecting.has(request)) response.writeContinue();
    if (this.#own !== undefined) this.#own(request, response);
    else if (HEALTH_PATH.test(url)) answer(response, 200, { ok: true });
    else answer(response, STARTING.status, errorBody(STARTING));
  }
}

function answer(response: ServerResponse, status: number, body: Record<string, unknown>): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
