/**
 * A client on matrix-js-sdk that shows which rooms are unread: by the SDK alone, and by orders. Both are asked about the same messages.
 *
 *     npm install && npm start                          with a homeserver of its own, and a room that the SDK alone calls unread
 *     npm start -- <homeserver> <user id> <token>       with yours, behind a proxy of Tidemark (docs/homeservers.md)
 */
import { setTimeout as delay } from "node:timers/promises";
import { ClientEvent, createClient, type MatrixEvent, type Room, SyncState } from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { startHomeserver } from "./homeserver.ts";
import { readStatesOf } from "./read-states.ts";

const POLL_MS = 50;

Object.assign(logger, { debug() {}, info() {}, log() {}, warn() {} });

const [url, user = "@bob:here.example", token] = process.argv.slice(2);
if (url === undefined || token === undefined) {
  await using homeserver = await startHomeserver();
  await show(homeserver.url, homeserver.token);
} else {
  await show(url, token);
}
process.exit(); // The SDK's timers would keep it running.

async function show(baseUrl: string, accessToken: string): Promise<void> {
  const sdk = createClient({ baseUrl, accessToken, userId: user, timelineSupport: true });
  const stateOf = readStatesOf(sdk);
  const synced = new Promise<void>((resolve) => {
    sdk.on(ClientEvent.Sync, (state) => state === SyncState.Prepared && resolve());
  });
  await sdk.startClient({ threadSupport: true, initialSyncLimit: 30 });
  await synced;
  const threads = () => sdk.getRooms().flatMap((room) => room.getThreads());
  while (threads().some((thread) => !thread.initialEventsFetched)) await delay(POLL_MS);
  for (const room of sdk.getRooms()) {
    const messages = messagesIn(room);
    const state = stateOf(room.roomId);
    print(room.name);
    print(
      `  matrix-js-sdk alone: ${verdict(messages.filter((event) => !room.hasUserReadEvent(user, event.getId()!)))}`,
    );
    print(`  by orders: ${verdict(messages.filter((event) => state.isRead(event.getId()!, user) === false))}`);
    const unordered = messages.filter((event) => state.order(event.getId()!) === undefined);
    if (unordered.length > 0) print(`  without an order: ${unordered.length} of ${messages.length}`);
  }
  sdk.stopClient();
}

/** The messages of others that the SDK has, in the main timeline and in threads. */
function messagesIn(room: Room): MatrixEvent[] {
  const timelines = [room.getLiveTimeline(), ...room.getThreads().map((thread) => thread.liveTimeline)];
  const events = new Map(timelines.flatMap((timeline) => timeline.getEvents()).map((event) => [event.getId(), event]));
  const isMessage = (event: MatrixEvent) => ["m.room.message", "m.room.encrypted"].includes(event.getType());
  return [...events.values()].filter((event) => isMessage(event) && event.getSender() !== user);
}

function verdict(unread: readonly MatrixEvent[]): string {
  if (unread.length === 0) return "read";
  return `unread (${unread.map((event) => event.getContent().body ?? event.getId()).join("; ")})`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
