/**
 * Requests to the homeserver, with the bytes of their paths as they came: nothing is decoded, encoded or collapsed.
 *
 * There is no time limit for an answer, because a long poll may take as long as the homeserver likes. That the homeserver is
 * gone is noticed all the same: a connection has to be made within `PROXY_CONNECT_MS`, and TCP asks a silent one whether it is
 * still there.
 */
import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import { isIP, type Socket } from "node:net";
import { HTTP_HEADER_BYTES_MAX, PROXY_CONNECT_MS, PROXY_IDLE_MS, PROXY_KEEP_ALIVE_MS } from "../limits.ts";
import type { RawHeaders } from "./proxied-headers.ts";
import { type Tap, TappedAgent } from "./tapped-agent.ts";

/** What Node calls the failures of connections that are not made, or whose other end is gone without a word. */
const UNREACHABLE: ReadonlySet<string | undefined> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** Whether an error says that the homeserver is away, whatever it was asked. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof Error && UNREACHABLE.has((error as NodeJS.ErrnoException).code);
}

interface UpstreamRequest {
  readonly method: string;
  /** As it stands in the client's request. */
  readonly path: string;
  readonly headers: RawHeaders;
}

export class Upstream {
  /** `host` or `host:port`, for a `Host` header. */
  readonly host: string;
  readonly #isTls: boolean;
  readonly #options: http.RequestOptions;
  readonly #basePath: string;
  readonly #agent: http.Agent;

  /** `base`: the URL of the homeserver. A path stays in front of those of requests. */
  constructor(base: string) {
    const { protocol, host, hostname, port, pathname } = new URL(base);
    this.host = host;
    this.#isTls = protocol === "https:";
    this.#basePath = pathname.replace(/\/+$/, "");
    const address = hostname.replace(/^\[(.*)\]$/, "$1");
    // The agent closes connections that were idle for so long, before the homeserver does while a request is on its way.
    const agent = {
      keepAlive: true,
      keepAliveMsecs: PROXY_KEEP_ALIVE_MS,
      timeout: PROXY_IDLE_MS,
      scheduling: "lifo",
    } as const;
    this.#agent = this.#isTls ? new https.Agent(agent) : new TappedAgent(agent);
    this.#options = {
      protocol,
      hostname: address,
      ...(port !== "" && { port }),
      ...(this.#isTls && { servername: isIP(address) === 0 ? address : "" }),
      agent: this.#agent,
      maxHeaderSize: 2 * HTTP_HEADER_BYTES_MAX,
    };
  }

  /** The body is for the caller to write. */
  open({ method, path, headers }: UpstreamRequest): http.ClientRequest {
    const { request } = this.#isTls ? https : http;
    const opened = request({ ...this.#options, method, path: targetOf(this.#basePath, path), headers });
    opened.once("socket", (socket) => {
      socket.setKeepAlive(true, PROXY_KEEP_ALIVE_MS); // The agent does it only where there is no TLS.
      if (!socket.connecting) return;
      const late = () => {
        const error = new Error(`no connection within ${PROXY_CONNECT_MS} ms`);
        opened.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
      };
      const timer = setTimeout(late, PROXY_CONNECT_MS);
      const done = () => clearTimeout(timer);
      socket.once(this.#isTls ? "secureConnect" : "connect", done).once("close", done);
    });
    return opened;
  }

  /** A request of the proxy's own, without a body. Rejects without a whole answer within these limits. */
  async ask(
    request: UpstreamRequest,
    { timeoutMs, bytesMax }: { readonly timeoutMs: number; readonly bytesMax: number },
  ): Promise<{ readonly status: number; readonly body: Buffer }> {
    const opened = this.open(request).on("error", () => {});
    const timer = setTimeout(() => opened.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      const answered = once(opened, "response");
      opened.end();
      const [answer] = (await answered) as [http.IncomingMessage];
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of answer) {
        bytes += chunk.length;
        if (bytes > bytesMax) throw new Error(`the answer is larger than ${bytesMax} bytes`);
        chunks.push(chunk);
      }
      return { status: answer.statusCode!, body: Buffer.concat(chunks) };
    } finally {
      clearTimeout(timer);
      opened.destroy();
    }
  }

  /** Takes what comes on a connection from now on (`TappedAgent`). Returns false if that can't be had. */
  tap(socket: Socket, tap: Tap): boolean {
    return this.#agent instanceof TappedAgent && this.#agent.tap(socket, tap);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** A client may name the whole URL, as to a forward proxy (RFC 9112, 3.2.2): what follows its host is the path. */
function targetOf(basePath: string, path: string): string {
  const whole = /^https?:\/\/[^/?]*(.*)$/i.exec(path);
  const own = whole === null ? path : whole[1]!;
  return own === "*" ? own : `${basePath}${own.startsWith("/") ? "" : "/"}${own}`;
}
