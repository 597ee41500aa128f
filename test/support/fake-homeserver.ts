/** A homeserver with one room, and the part of the client-server API that `import-room` uses. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Body } from "./harness.ts";

interface FakeOptions {
  readonly room: string;
  readonly token: string;
  readonly state?: readonly Record<string, unknown>[];
  /** Oldest first. Events that are added later come after these. */
  readonly events: readonly Record<string, unknown>[];
  /** Events per page. Default: 10. */
  readonly page?: number;
}

/** Whose token it is. */
export const ASKER = "@asker:here.example";

/** A response that replaces the normal one. */
export interface Override {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers?: Record<string, string>;
}

export interface FakeHomeserver extends AsyncDisposable {
  readonly url: string;
  /** All requests so far, as path and query. */
  readonly requests: readonly string[];
  state: readonly Record<string, unknown>[];
  /** Oldest first. */
  events: readonly Record<string, unknown>[];
  /** The asker's membership in the room. */
  membership: string;
  /** Called with the path of each request. Its result replaces the normal response. */
  onRequest: (path: string, query: URLSearchParams) => Override | undefined | Promise<Override | undefined>;
}

export async function startHomeserver(options: FakeOptions): Promise<FakeHomeserver> {
  const { room, token, page = 10 } = options;
  const requests: string[] = [];
  const base = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;

  const answer = (url: URL): Body => {
    const { events } = homeserver;
    if (url.pathname === "/_matrix/client/v3/account/whoami") {
      return { user_id: url.searchParams.get("user_id") ?? ASKER };
    }
    if (url.pathname.startsWith(`${base}/state/m.room.member/`)) return { membership: homeserver.membership };
    if (url.pathname === `${base}/state`) return homeserver.state;
    if (url.pathname.startsWith(`${base}/context/`)) {
      const id = decodeURIComponent(url.pathname.slice(`${base}/context/`.length));
      const at = events.findIndex(({ event_id }) => event_id === id);
      return at < 0 ? undefined : { start: `t${at}`, end: `t${at + 1}`, event: events[at] };
    }
    if (url.pathname !== `${base}/messages` || url.searchParams.get("dir") !== "b") return undefined;
    const end = Number(url.searchParams.get("from")?.slice(1) ?? events.length);
    const start = Math.max(0, end - page);
    return { chunk: events.slice(start, end).toReversed(), start: `t${end}`, ...(start > 0 && { end: `t${start}` }) };
  };

  const server = createServer(async (request, response) => {
    const url = new URL(request.url!, "http://localhost");
    requests.push(request.url!);
    const reply = ({ status, body, headers = {} }: Override) => {
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    };
    const override = await homeserver.onRequest(url.pathname, url.searchParams);
    if (override !== undefined) return reply(override);
    if (request.headers.authorization !== `Bearer ${token}`) {
      return reply({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN", error: "Unknown token" } });
    }
    const body = answer(url);
    if (body === undefined) return reply({ status: 404, body: { errcode: "M_NOT_FOUND", error: "Not found" } });
    reply({ status: 200, body });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const homeserver: FakeHomeserver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    state: options.state ?? [],
    events: options.events,
    membership: "join",
    onRequest: () => undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return homeserver;
}
