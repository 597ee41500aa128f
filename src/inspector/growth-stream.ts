/** An event stream that notifies the page when a room has grown. The page then requests what it shows. */
import type { ServerResponse } from "node:http";
import type { RoomHistory } from "../replay/history/room-history.ts";
import type { RoomListener } from "./inspected-rooms.ts";

/** The minimum interval between notifications of a page that follows a room. */
const INSPECT_NOTIFY_MS = 200;

/** An event stream sends something at least this often, so that a proxy keeps it open. */
const INSPECT_HEARTBEAT_MS = 15_000;

/** Writes events until the client or the eviction of the room ends the response. `listen`: to the room of this history. */
export function notifyOfGrowth(
  raw: ServerResponse,
  history: RoomHistory,
  listen: (listener: RoomListener) => () => void,
): void {
  let debounce: NodeJS.Timeout | undefined;
  const notify = () => {
    debounce = undefined;
    // A slow client gets fewer notifications. It misses nothing, because it requests what it shows.
    if (raw.writableNeedDrain) return;
    const { position, entries } = history;
    raw.write(`event: grown\ndata: ${JSON.stringify({ position, entries })}\n\n`);
  };
  const unlisten = listen({
    onGrown: () => {
      debounce ??= setTimeout(notify, INSPECT_NOTIFY_MS);
    },
    onEvicted: () => raw.end(), // The browser reconnects by itself.
  });
  raw.on("drain", notify);
  const heartbeat = setInterval(() => raw.write(": still here\n\n"), INSPECT_HEARTBEAT_MS);
  raw.on("close", () => {
    unlisten();
    clearTimeout(debounce);
    clearInterval(heartbeat);
  });
  notify();
}
