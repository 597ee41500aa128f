/**
 * A homeserver with users and their markers, that can go away: it answers `/whoami`, an empty `/sync` to clients, and to Tidemark the
 * `/sync` of a user with the markers that changed since. It pushes nothing, and has no rooms to import.
 */
import { createServer, type RequestListener, type Server } from "node:http";
import { REGISTRATION } from "./pushing-homeserver.ts";
import { freePort } from "./scripted-homeserver.ts";

export interface SetMarker {
  readonly user: string;
  readonly room: string;
  readonly type: "m.read" | "m.read.private" | "m.fully_read";
  readonly event: string;
  /** Default: unthreaded. */
  readonly thread?: string;
}

export interface MarkedHomeserver extends AsyncDisposable {
  readonly url: string;
  /** The users whose markers were asked for, in turn. */
  readonly asked: string[];
  /** Whether the `/sync` of clients is a long poll without an end. Default: false. */
  isPolled: boolean;
  /** Whether the `/sync` of clients shows their fully-read markers. Default: false. */
  showsFullyRead: boolean;
  /** Sets a marker in place of the user's earlier one of this type and thread. */
  set(marker: SetMarker): void;
  /** All markers. */
  current(): SetMarker[];
  /** The same as text. */
  markers(): string[];
  /** Nothing listens any more, and connections are cut off. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export const markerText = ({ user, room, type, event, thread }: SetMarker): string =>
  [room, user, type, thread ?? "", event].join(" ");

export async function startMarkedHomeserver(): Promise<MarkedHomeserver> {
  const markers = new Map<string, { readonly marker: SetMarker; readonly at: number }>();
  const asked: string[] = [];
  let changes = 0;
  const syncOf = (user: string, since: number) => {
    const join: Record<string, Record<"ephemeral" | "account_data", { events: object[] }>> = {};
    for (const { marker, at } of markers.values()) {
      if (marker.user !== user || at <= since) continue;
      const { room, type, event, thread } = marker;
      join[room] ??= { ephemeral: { events: [] }, account_data: { events: [] } };
      const receipt = { ts: 1, ...(thread !== undefined && { thread_id: thread }) };
      if (type === "m.fully_read") join[room].account_data.events.push({ type, content: { event_id: event } });
      else
        join[room].ephemeral.events.push({ type: "m.receipt", content: { [event]: { [type]: { [user]: receipt } } } });
    }
    return { next_batch: `${changes}`, rooms: { join } };
  };
  const answer: RequestListener = (request, response) => {
    const { url = "", headers } = request;
    request.resume();
    const { pathname, searchParams: query } = new URL(url, "http://a");
    const reply = (body: unknown) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    const name = headers.authorization?.slice("Bearer ".length) ?? "";
    const user = query.get("user_id");
    if (pathname.endsWith("/whoami")) {
      reply({ user_id: name, device_id: "D" });
      return;
    }
    if (!pathname.endsWith("/sync")) {
      reply({ joined_rooms: [] });
      return;
    }
    if (user === null || name !== REGISTRATION.asToken) {
      const { rooms } = found.showsFullyRead ? syncOf(name, 0) : { rooms: {} };
      if (!found.isPolled) reply({ next_batch: "c", rooms });
      return;
    }
    asked.push(user);
    reply(syncOf(user, Number(query.get("since") ?? 0)));
  };
  const port = await freePort();
  let server: Server | undefined;
  const found: MarkedHomeserver = {
    url: `http://127.0.0.1:${port}`,
    asked,
    isPolled: false,
    showsFullyRead: false,
    set: (marker) => {
      const { room, user, type, thread = "" } = marker;
      markers.set([room, user, type, thread].join(" "), { marker, at: ++changes });
    },
    current: () => Array.from(markers.values(), ({ marker }) => marker),
    markers: () => Array.from(markers.values(), ({ marker }) => markerText(marker)).sort(),
    stop: async () => {
      const stopped = new Promise((resolve) => server?.close(resolve));
      server?.closeAllConnections();
      await stopped;
      server = undefined;
    },
    start: async () => {
      server = createServer(answer);
      await new Promise<void>((resolve) => server?.listen(port, "127.0.0.1", resolve));
    },
    [Symbol.asyncDispose]: async () => {
      if (server !== undefined) await found.stop();
    },
  };
  await found.start();
  return found;
}
