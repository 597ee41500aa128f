/** The newest `matrix-js-sdk`, in a browser: it doesn't run on Node 20. The test calls `window.newestSdk`. */
import {
  ClientEvent,
  createClient,
  type MatrixClient,
  MemoryStore,
  NotificationCountType,
  type Room,
  SyncState,
} from "matrix-js-sdk-43";

export interface NewestSdkPage {
  /** Logs in as the login page of an application does. Resolves after the first sync. */
  logIn(url: string, user: string, password: string): Promise<void>;
  has(room: string, event: string): boolean;
  /** What the room list calls a room. */
  name(room: string): string;
  /** The newest text of an event, and whether the timeline says that it was edited. */
  shown(room: string, event: string): readonly [body: string | undefined, isEdited: boolean];
  /** Whether the client knows of what to notify. */
  hasPushRules(): boolean;
  /** Unread events of the main timeline, or of a thread. */
  unread(room: string, thread?: string): number;
  send(room: string, body: string): Promise<string>;
  read(room: string, event: string, thread?: string): Promise<void>;
  /** The event that a user has read up to. */
  readUpTo(room: string, user: string): string | null;
  /** The threads that the thread list shows: root, and number of events. */
  threads(room: string): Promise<readonly (readonly [root: string, length: number])[]>;
  /** Requests that were not answered with 200, as `method path status`. */
  refused(): readonly string[];
}

declare global {
  interface Window {
    newestSdk: NewestSdkPage;
  }
}

const refused: string[] = [];
let sdk: MatrixClient;

const fetchFn: typeof fetch = async (resource, options) => {
  const response = await fetch(resource, options);
  if (!response.ok) refused.push(`${options?.method ?? "GET"} ${new URL(response.url).pathname} ${response.status}`);
  return response;
};

function roomOf(id: string): Room {
  const room = sdk.getRoom(id);
  if (room === null) throw new Error(`the client doesn't have ${id}`);
  return room;
}

function eventOf(room: string, event: string, thread?: string) {
  const timeline = thread === undefined ? roomOf(room) : roomOf(room).getThread(thread);
  const found = timeline?.findEventById(event);
  if (found == null) throw new Error(`the client doesn't have ${event}`);
  return found;
}

window.newestSdk = {
  logIn: async (baseUrl, user, password) => {
    const guest = createClient({ baseUrl, fetchFn });
    await guest.loginFlows();
    const { access_token: accessToken, ...own } = await guest.loginRequest({
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password,
    });
    sdk = createClient({
      baseUrl,
      accessToken,
      userId: own.user_id,
      deviceId: own.device_id,
      store: new MemoryStore(),
      fetchFn,
      timelineSupport: true,
    });
    const prepared = new Promise<void>((resolve) => {
      sdk.on(ClientEvent.Sync, (state) => {
        if (state === SyncState.Prepared) resolve();
      });
    });
    await sdk.startClient({ threadSupport: true, initialSyncLimit: 30, pollTimeout: 10_000, lazyLoadMembers: true });
    await prepared;
  },
  name: (room) => roomOf(room).name,
  shown: (room, event) => {
    const found = eventOf(room, event);
    return [found.getContent().body, found.replacingEvent() !== null];
  },
  hasPushRules: () => (sdk.pushRules?.global.override?.length ?? 0) > 0,
  has: (room, event) => sdk.getRoom(room)?.findEventById(event) !== undefined,
  unread: (room, thread) =>
    thread === undefined
      ? roomOf(room).getRoomUnreadNotificationCount(NotificationCountType.Total)
      : roomOf(room).getThreadUnreadNotificationCount(thread, NotificationCountType.Total),
  send: async (room, body) => (await sdk.sendTextMessage(room, body)).event_id,
  read: async (room, event, thread) => {
    await sdk.sendReadReceipt(eventOf(room, event, thread));
  },
  readUpTo: (room, user) => roomOf(room).getEventReadUpTo(user, true),
  threads: async (id) => {
    const room = roomOf(id);
    await room.createThreadsTimelineSets();
    await room.fetchRoomThreads();
    return room.getThreads().map((thread) => [thread.id, thread.length] as const);
  },
  refused: () => refused,
};
