/** Headers on their way through the proxy: those of one connection stay behind (RFC 9110, 7.6.1), all others go on as they are. */
import type { IncomingMessage } from "node:http";

/** Names and values in turn, as in `IncomingMessage.rawHeaders`. */
export type RawHeaders = string[];

const OF_THE_CONNECTION: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
];

/** A sender that names these in `Connection` would have the message read otherwise than it was sent. */
const NEVER_DROPPED: ReadonlySet<string> = new Set(["content-length", "host", "authorization"]);

/** Methods whose requests have no body unless a header says so. A request of another needs a length. */
const WITHOUT_BODY: ReadonlySet<string | undefined> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

interface RequestHeaderOptions {
  /** The homeserver, for a client that names no host (HTTP/1.0). */
  readonly host: string;
  /** Replaces what the client accepts. Default: nothing is replaced. */
  readonly acceptEncoding: string | undefined;
}

/** The headers of a client's request for the homeserver. */
export function requestHeaders(request: IncomingMessage, { host, acceptEncoding }: RequestHeaderOptions): RawHeaders {
  const { headers, method, socket } = request;
  const replaced = acceptEncoding === undefined ? [] : ["accept-encoding"];
  const raw = without(endToEnd(request.rawHeaders), [...replaced, "x-forwarded-for"]);
  if (acceptEncoding !== undefined) raw.push("Accept-Encoding", acceptEncoding);
  if (headers.host === undefined) raw.push("Host", host);
  if (headers["transfer-encoding"] !== undefined) raw.push("Transfer-Encoding", "chunked");
  else if (headers["content-length"] === undefined && !WITHOUT_BODY.has(method)) raw.push("Content-Length", "0");
  const before = headers["x-forwarded-for"];
  raw.push("X-Forwarded-For", [before ?? [], socket.remoteAddress ?? "unknown"].flat().join(", "));
  if (headers["x-forwarded-proto"] === undefined) raw.push("X-Forwarded-Proto", "http");
  if (headers["x-forwarded-host"] === undefined && headers.host !== undefined)
    raw.push("X-Forwarded-Host", headers.host);
  return raw;
}

/** Drops the headers that are for the connection alone, and those that `Connection` names. */
export function endToEnd(raw: readonly string[]): RawHeaders {
  const names = new Set(OF_THE_CONNECTION);
  for (const [name, value] of pairs(raw)) {
    if (name.toLowerCase() !== "connection") continue;
    for (const token of value.split(",")) names.add(token.trim().toLowerCase());
  }
  for (const name of NEVER_DROPPED) names.delete(name);
  return without(raw, [...names]);
}

export function without(raw: readonly string[], names: readonly string[]): RawHeaders {
  return pairs(raw)
    .filter(([name]) => !names.includes(name.toLowerCase()))
    .flat();
}

export function pairs(raw: readonly string[]): [name: string, value: string][] {
  const found: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) found.push([raw[i]!, raw[i + 1]!]);
  return found;
}

/** Of the encodings that a client accepts, those that the proxy can read and write. */
export function readableEncodings(accepted: string | undefined): string {
  const readable = (accepted ?? "").split(",").filter((each) => /^\s*(?:gzip|br|identity)\s*(?:;|$)/i.test(each));
  return readable.map((each) => each.trim()).join(", ") || "identity";
}
