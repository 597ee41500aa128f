/** Which requests are answered with events or receipts (docs/design.md#the-proxy). Paths are matched as they are written. */
import type { IncomingMessage } from "node:http";

export interface Annotated {
  readonly kind: "events" | "versions";
  /** The room in the path. */
  readonly room: string | undefined;
  /** Whether it is a `/sync` that goes on from an earlier one: its timelines have live events. */
  readonly isIncremental: boolean;
}

const ROOM_PATHS = "messages|context/[^/]+|event/[^/]+|relations/.+|threads|members|state(?:/.*)?|initialSync";
const PATH = new RegExp(
  `^/_matrix/client/(?:r0|v\\d+|api/v1|unstable(?:/[^/]+)?)/(?:(sync)|initialSync|events|(search)|notifications|rooms/([^/]+)/(${ROOM_PATHS}))$`,
);

/** Returns undefined for a request whose answer passes as it is. */
export function annotatedRequest({ method, url = "" }: Pick<IncomingMessage, "method" | "url">): Annotated | undefined {
  const [path = "", search = ""] = split(url);
  if (method === "GET" && path === "/_matrix/client/versions") {
    return { kind: "versions", room: undefined, isIncremental: false };
  }
  const match = PATH.exec(path);
  if (match === null) return undefined;
  const [, sync, searching, room, inRoom] = match;
  // A search is posted, and so is a sliding sync.
  const isMethod = method === "GET" ? searching === undefined : method === "POST" && (sync ?? searching) !== undefined;
  if (!isMethod) return undefined;
  const query = new URLSearchParams(search);
  // One state event is answered as its content, which is its sender's, unless the whole event is asked for.
  if (inRoom?.startsWith("state/") && query.get("format") !== "event") return undefined;
  const since = query.get(method === "GET" ? "since" : "pos") ?? "";
  return { kind: "events", room: decoded(room), isIncremental: sync !== undefined && since !== "" };
}

function split(url: string): [path: string, search: string] {
  const at = url.indexOf("?");
  return at < 0 ? [url, ""] : [url.slice(0, at), url.slice(at + 1)];
}

function decoded(room: string | undefined): string | undefined {
  try {
    return room === undefined ? undefined : decodeURIComponent(room);
  } catch {
    return undefined;
  }
}
