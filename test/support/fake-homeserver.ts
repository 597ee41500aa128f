/** A homeserver with one room, and the part of the client-server API that imports use. */
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
  /** Membership in the room of whoever is not in `memberships`. */
  membership: string;
  memberships: Readonly<Record<string, string>>;
  /** Whether it answers `format=event`; otherwise it gives the content alone. */
  givesEvents: boolean;
  /** Whom users ignore. */
  ignored: Readonly<Record<string, readonly string[]>>;
  /** As whom an application service may not act. */
  forbidden: readonly string[];
  /** Called with the path of each request. Its result replaces the normal response. */
  onRequest: (path: string, query: URLSearchParams) => Override | undefined | Promise<Override | undefined>;
}

export async function startHomeserver(options: FakeOptions): Promise<FakeHomeserver> {
  const { room, token, page = 10 } = options;
  const requests: string[] = [];
  const base = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;

  const membershipOf = (user: string) => homeserver.memberships[user] ?? homeserver.membership;
  const answer = (url: URL): Body => {
    const { events } = homeserver;
    if (url.pathname === "/_matrix/client/v3/account/whoami") {
      return { user_id: url.searchParams.get("user_id") ?? ASKER };
    }
    if (url.pathname.startsWith(`${base}/state/`) && url.searchParams.get("format") === "event") {
      const [type, key] = url.pathname.slice(`${base}/state/`.length).split("/").map(decodeURIComponent);
      const found = homeserver.state.find((event) => event.type === type && event.state_key === key);
      return homeserver.givesEvents ? found : found?.content;
    }
    if (url.pathname.startsWith(`${base}/state/m.room.member/`)) {
      return {
        membership: membershipOf(decodeURIComponent(url.pathname.slice(`${base}/state/m.room.member/`.length))),
      };
    }
    const user = url.searchParams.get("user_id") ?? ASKER;
    if (url.pathname === "/_matrix/client/v3/joined_rooms") {
      return { joined_rooms: membershipOf(user) === "join" ? [room] : [] };
    }
    if (url.pathname === `/_matrix/client/v3/user/${encodeURIComponent(user)}/account_data/m.ignored_user_list`) {
      const ignored = homeserver.ignored[user];
      return ignored && { ignored_users: Object.fromEntries(ignored.map((each) => [each, {}])) };
    }
    if (url.pathname.endsWith("/ping")) return {};
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
    if (homeserver.forbidden.includes(url.searchParams.get("user_id") ?? "")) {
      return reply({ status: 403, body: { errcode: "M_FORBIDDEN", error: "Cannot masquerade as this user" } });
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
    memberships: {},
    givesEvents: true,
    ignored: {},
    forbidden: [],
    onRequest: () => undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return homeserver;
}
