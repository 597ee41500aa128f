/**
 * Imports an existing room from a homeserver: its current state, then its history.
 *
 *     current state ──▶ state entries          history before the oldest event in the log ──▶ backfilled entries
 *
 * The log itself is the only progress that is stored: an interrupted import continues from the oldest event in the log.
 * Sending an event twice changes nothing (F2).
 */
import type { Bus } from "../bus/client/connection.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { oldestKnownEvent } from "../bus/log/known-events.ts";
import { isState, type MatrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import { deliver } from "./delivery.ts";
import type { HomeserverClient } from "./homeserver-client.ts";
import { pushedEvent } from "./transaction.ts";

/** How often a room's state is read again because it changed while it was being stored. */
const STATE_READS_MAX = 5;

interface ImportOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly homeserver: HomeserverClient;
  readonly room: RoomId;
  /** Called whenever a page of history is stored. */
  readonly onProgress?: (progress: ImportProgress) => void;
}

export interface ImportProgress {
  /** The numbers of state events and historical events that this import has stored. */
  readonly state: number;
  readonly events: number;
  /** The imported share of the time since the room was created, 0 to 1. */
  readonly done: number;
}

/** Resolves once the state and the history, as far back as the homeserver serves it, are in the log. */
export async function importRoom(options: ImportOptions): Promise<ImportProgress> {
  const { nc, partitions, homeserver, room, onProgress = () => {} } = options;
  const state = await importState(options);
  const created = state.find(({ type }) => type === "m.room.create")?.origin_server_ts ?? 0;
  const oldest = await oldestKnownEvent(nc, partitionOf(room, partitions), room);

  let from = oldest === undefined ? undefined : await homeserver.tokenBefore(room, oldest);
  let newestTs: number | undefined;
  let events = 0;
  for (;;) {
    const { chunk, end } = await homeserver.messages(room, from);
    const history = eventsOf(room, chunk);
    await deliver(nc, { kind: "backfill", room }, history);
    events += history.length;
    newestTs ??= history[0]?.origin_server_ts;
    const ts = history.at(-1)?.origin_server_ts;
    if (newestTs !== undefined && ts !== undefined) {
      onProgress({ state: state.length, events, done: share(newestTs - ts, newestTs - created) });
    }
    if (end === undefined || end === from) return { state: state.length, events, done: 1 };
    from = end;
  }
}

/** State may change between reading and storing it. So it is read again, until nothing is new (`STATE_READS_MAX`). */
async function importState({ nc, homeserver, room }: ImportOptions): Promise<readonly MatrixEvent[]> {
  let stored = new Set<string>();
  for (let read = 1; ; read++) {
    const state = eventsOf(room, await homeserver.state(room)).filter(isState);
    const changed = state.filter(({ event_id: id }) => !stored.has(id));
    if (changed.length === 0 || read > STATE_READS_MAX) return state;
    await deliver(nc, { kind: "state", room }, changed);
    stored = new Set(state.map(({ event_id: id }) => id));
  }
}

/** Returns the well-formed events of the room, as stored. */
function eventsOf(room: RoomId, values: readonly unknown[]): MatrixEvent[] {
  return values.flatMap((value) => {
    const event = pushedEvent(value, () => {});
    return event !== undefined && (event.room_id ?? room) === room ? [event] : [];
  });
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 1 : Math.min(1, Math.max(0, part / whole));
}
