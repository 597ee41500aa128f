/** The real `matrix-js-sdk`, unmodified, as a client of a gateway or of a homeserver. */
import {
  ClientEvent,
  createClient,
  type IEvent,
  type MatrixClient,
  MemoryStore,
  type Room,
  SyncState,
} from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import { eventually } from "../support/harness.ts";

(logger as typeof logger & { setLevel(level: string): void }).setLevel("silent");

// The client never clears the timers that bound its requests; they would keep the test's process alive.
const LONG_MS = 60_000;
const { setTimeout: plainSetTimeout } = globalThis;
globalThis.setTimeout = ((callback: () => void, ms?: number, ...rest: []) => {
  const timer = plainSetTimeout(callback, ms, ...rest);
  return (ms ?? 0) >= LONG_MS ? timer.unref() : timer;
}) as typeof setTimeout;

export interface SdkClient extends AsyncDisposable {
  readonly sdk: MatrixClient;
  /** The text of every response that the client received, in order of arrival. */
  readonly received: readonly string[];
  /** Disconnects the client from its server, or connects it again. Requests in flight fail. */
  away(isAway: boolean): void;
  /** A room, once the client has it. */
  room(id: string): Promise<Room>;
  /** An event's raw content, once the client has it. */
  raw(room: string, event: string): Promise<Partial<IEvent>>;
}

interface SdkUser {
  readonly url: string;
  readonly token: string;
  readonly user: string;
}

interface SdkOptions {
  readonly threads?: boolean;
  readonly device?: string;
  /** Whether it uses simplified sliding sync (MSC4186). Default: no, `/sync`. */
  readonly isSliding?: boolean;
}

const POLL_MS = 10_000;
const SHOWN_ROOM = { timeline_limit: 30, required_state: [["*", "*"]] };

/** A client that has synced once. */
export async function startSdk(
  { url, token, user }: SdkUser,
  { threads = true, device = "D", isSliding = false }: SdkOptions = {},
): Promise<SdkClient> {
  const received: string[] = [];
  let isAway = false;
  const fetchFn: typeof fetch = async (...request) => {
    if (isAway) throw new TypeError("fetch failed");
    const response = await fetch(...request);
    if (isAway) throw new TypeError("fetch failed");
    received.push(await response.clone().text());
    return response;
  };
  const sdk = createClient({
    baseUrl: url,
    accessToken: token,
    userId: user,
    deviceId: device,
    store: new MemoryStore(),
    fetchFn,
    timelineSupport: true,
  });
  const prepared = new Promise<void>((resolve) => {
    sdk.on(ClientEvent.Sync, (state) => {
      if (state === SyncState.Prepared) resolve();
    });
  });
  const lists = new Map([["all", { ...SHOWN_ROOM, ranges: [[0, 99]] }]]);
  await sdk.startClient({
    threadSupport: threads,
    initialSyncLimit: 30,
    pollTimeout: POLL_MS,
    ...(isSliding && { slidingSync: new SlidingSync(url, lists, SHOWN_ROOM, sdk, POLL_MS) }),
  });
  await prepared;
  const room = async (id: string) => {
    await eventually(() => sdk.getRoom(id) !== null, `${user} sees ${id}`);
    return sdk.getRoom(id)!;
  };
  return {
    sdk,
    received,
    away: (now) => {
      isAway = now;
      if (!now) sdk.retryImmediately();
    },
    room,
    raw: async (id, event) => {
      const found = await room(id);
      await eventually(() => found.findEventById(event), `${user} sees ${event}`);
      return found.findEventById(event)!.event;
    },
    [Symbol.asyncDispose]: async () => sdk.stopClient(),
  };
}
