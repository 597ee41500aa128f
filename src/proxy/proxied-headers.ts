/** Headers on their way through the proxy: those of one connection stay behind (RFC 9110, 7.6.1), all others go on as they are. */
import type { IncomingMessage } from "node:http";

/** Names and values in turn, as in `IncomingMessage.rawHeaders`. */
export type RawHeaders = string[];

const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** A sender that names these in `Connection` would have the message read otherwise than it was sent. */
const NEVER_DROPPED: ReadonlySet<string> = new Set(["content-length", "host", "authorization"]);

/** Methods whose requests have no body unless a header says so. A request of another needs a length. */
const WITHOUT_BODY: ReadonlySet<string | undefined> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

const APPENDED: readonly string[] = ["x-forwarded-for"];
const APPENDED_OR_REPLACED: readonly string[] = [...APPENDED, "accept-encoding"];

interface RequestHeaderOptions {
  /** The homeserver, for a client that names no host (HTTP/1.0). */
  readonly host: string;
  /** Replaces what the client accepts. Default: nothing is replaced. */
  readonly acceptEncoding: string | undefined;
}

/** The headers of a client's request for the homeserver. */
export function requestHeaders(request: IncomingMessage, { host, acceptEncoding }: RequestHeaderOptions): RawHeaders {
  const { headers, method, socket } = request;
  const replaced = acceptEncoding === undefined ? APPENDED : APPENDED_OR_REPLACED;
  const raw = endToEnd(request.rawHeaders, replaced);
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

/** Drops the headers that are for the connection alone, those that `Connection` names, and `others`, which are in lower case. */
export function endToEnd(raw: readonly string[], others: readonly string[] = []): RawHeaders {
  const named = namedByConnection(raw);
  const kept: RawHeaders = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (!OF_THE_CONNECTION.has(name) && !named.includes(name) && !others.includes(name))
      kept.push(raw[i]!, raw[i + 1]!);
  }
  return kept;
}

function namedByConnection(raw: readonly string[]): string[] {
  const names: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]!.toLowerCase() !== "connection") continue;
    for (const token of raw[i + 1]!.split(",")) names.push(token.trim().toLowerCase());
  }
  return names.filter((name) => !NEVER_DROPPED.has(name));
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
