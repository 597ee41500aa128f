/**
 * Searches every answer of the client-server API that is given in this process, to whatever client, for private receipts of others: to
 * those of the harness, to other projects' clients, to a browser, to a bare socket.
 */
import { ServerResponse } from "node:http";
import * as assert from "uvu/assert";

const API = "/_matrix/client/";
const TYPE = "m.read.private";

/** Whose the access tokens are. */
const owners = new Map<string, string>();
const leaks: string[] = [];
let searched = 0;

/** Makes tokens known. An answer to any other one may have no private receipts at all. */
export function ownTokens(tokens: Readonly<Record<string, { readonly user_id: string }>>): void {
  for (const [token, { user_id: user }] of Object.entries(tokens)) owners.set(token, user);
}

/** Returns what was found since the last call, and how many answers were searched. */
export function takeLeaks(): { readonly leaks: readonly string[]; readonly searched: number } {
  const taken = { leaks: leaks.splice(0), searched };
  searched = 0;
  return taken;
}

/** Fails if an answer had private receipts of others. */
export function assertNoLeaks(): void {
  assert.equal(takeLeaks().leaks, [], "private receipts of others");
}

/** The users other than this one whose private receipts are in a value, however deep. */
export function privateReceiptsOfOthers(value: unknown, user: string | undefined): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key !== TYPE || typeof inner !== "object" || inner === null) return privateReceiptsOfOthers(inner, user);
    return Object.keys(inner).filter((reader) => reader !== user);
  });
}

function search({ req: request }: ServerResponse, text: string): void {
  if (!request.url?.startsWith(API)) return;
  searched++;
  if (!text.includes(TYPE)) return;
  const token =
    request.headers.authorization?.replace("Bearer ", "") ??
    new URL(request.url, "http://x").searchParams.get("access_token");
  const found = privateReceiptsOfOthers(JSON.parse(text), owners.get(token ?? ""));
  if (found.length > 0) leaks.push(`${request.method} ${request.url}: ${found}`);
}

const { end } = ServerResponse.prototype;

// Answers of the API are written at once, with `end`.
ServerResponse.prototype.end = function (this: ServerResponse, ...written: unknown[]) {
  const [body] = written;
  if (typeof body === "string" || Buffer.isBuffer(body)) search(this, body.toString());
  return Reflect.apply(end, this, written);
} as typeof end;
