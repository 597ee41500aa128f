/** Hydrogen without its views, in a browser. The test calls `window.hydrogen`. */
import { Client, createNavigation, createRouter, LoadStatus, Platform, type Room } from "hydrogen-view-sdk";

export interface HydrogenPage {
  /** Logs in as the login page does, from the address of a homeserver. Resolves to the status after the first sync. */
  logIn(url: string, user: string, password: string): Promise<string>;
  /** What the room list shows of a room; undefined while the client doesn't have it. */
  shown(room: string): { readonly name: string; readonly unread: number; readonly isUnread: boolean } | undefined;
  /** The texts of the room's timeline. */
  texts(room: string): Promise<readonly string[]>;
  send(room: string, body: string): Promise<void>;
  read(room: string): Promise<void>;
}

declare global {
  interface Window {
    hydrogen: HydrogenPage;
  }
}

let client: Client | undefined;

function roomOf(id: string): Room | undefined {
  return client?.session?.rooms.get(id);
}

window.hydrogen = {
  logIn: async (url, user, password) => {
    const platform = new Platform({
      container: document.body,
      assetPaths: { serviceWorker: "/sw.js" },
      config: {},
      options: { development: true },
    });
    const navigation = createNavigation();
    platform.setNavigation(navigation);
    await platform.init();
    createRouter({ navigation, history: platform.history }).attach();
    client = new Client(platform);
    const { password: withPassword } = await client.queryLogin(url).result;
    await client.startWithLogin(withPassword(user, password));
    const ends: readonly string[] = [LoadStatus.Ready, LoadStatus.Error, LoadStatus.LoginFailed];
    await client.loadStatus.waitFor((status) => ends.includes(status)).promise;
    return String(client.loginFailure ?? client.loadError?.stack ?? client.loadStatus.get());
  },
  shown: (id) => {
    const room = roomOf(id);
    return room && { name: room.name, unread: room.notificationCount, isUnread: room.isUnread };
  },
  texts: async (id) => {
    const timeline = await roomOf(id)!.openTimeline();
    const ignore = () => {};
    // Entries are there while somebody listens.
    const unsubscribe = timeline.entries.subscribe({
      onReset: ignore,
      onAdd: ignore,
      onUpdate: ignore,
      onRemove: ignore,
      onMove: ignore,
    });
    try {
      await timeline.loadAtTop(20);
      return [...timeline.entries].flatMap(({ content }) => content?.body ?? []);
    } finally {
      unsubscribe();
      timeline.dispose();
    }
  },
  send: async (id, body) => {
    await roomOf(id)!.sendEvent("m.room.message", { msgtype: "m.text", body }, []);
  },
  read: async (id) => {
    await roomOf(id)!.clearUnread();
  },
};
