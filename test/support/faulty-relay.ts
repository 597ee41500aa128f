/**
 * An HTTP relay in front of an S3 server, which checks signatures, and can spoil answers: each fault is that of the next request, in the
 * order in which they are given.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { S3_KEYS, type S3Server } from "./s3-server.ts";
import { isSigned } from "./signatures.ts";

export type Fault =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body?: string;
      readonly headers?: Record<string, string>;
    }
  /** The answer's head is whole; its body ends after so many bytes, with the connection. */
  | { readonly kind: "cut"; readonly bytes: number }
  /** The answer says that its body has only so many bytes. */
  | { readonly kind: "shorten"; readonly bytes: number }
  /** The head and one byte of the body come, and nothing more. */
  | { readonly kind: "stall" }
  /** Nothing comes. */
  | { readonly kind: "silence" }
  /** The server gets the request, and its answer is lost. */
  | { readonly kind: "lost" }
  | { readonly kind: "reset" };

export interface FaultyRelay extends AsyncDisposable {
  readonly url: string;
  /** Methods and paths of all requests. */
  readonly requests: readonly string[];
  readonly faults: Fault[];
}

export async function faultyRelay(to: S3Server): Promise<FaultyRelay> {
  const requests: string[] = [];
  const faults: Fault[] = [];
  const server = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    relay(incoming, outgoing, { to: to.port, fault: faults.shift() }).catch(() => outgoing.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    faults,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Relayed {
  readonly to: number;
  readonly fault: Fault | undefined;
}

async function relay(incoming: IncomingMessage, outgoing: ServerResponse, { to, fault }: Relayed): Promise<void> {
  const sent = await buffer(incoming);
  if (fault?.kind === "silence") return;
  if (fault?.kind === "reset") {
    incoming.socket.resetAndDestroy();
    return;
  }
  if (fault?.kind === "answer") {
    outgoing.writeHead(fault.status, fault.headers).end(fault.body ?? "");
    return;
  }
  if (!isSigned(incoming, sent, S3_KEYS)) {
    outgoing.writeHead(403).end("<Error><Code>SignatureDoesNotMatch</Code></Error>");
    return;
  }
  const { method, url, headers } = incoming;
  const upstream = request({ host: "127.0.0.1", port: to, agent: false, method, path: url, headers });
  upstream.end(sent);
  const [answer] = (await once(upstream, "response")) as [IncomingMessage];
  const body = await buffer(answer);
  if (fault?.kind === "lost") {
    incoming.socket.destroy();
    return;
  }
  const answered = { ...answer.headers };
  delete answered["transfer-encoding"];
  const bytes = fault?.kind === "shorten" ? fault.bytes : body.length;
  outgoing.writeHead(answer.statusCode!, method === "HEAD" ? answered : { ...answered, "content-length": bytes });
  if (fault?.kind === "stall") outgoing.write(body.subarray(0, 1));
  else if (fault?.kind === "cut") outgoing.write(body.subarray(0, fault.bytes), () => incoming.socket.destroy());
  else outgoing.end(body.subarray(0, bytes));
}
