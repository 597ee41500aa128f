/**
 * Brings a room that is already going on to Tidemark: who is in it, and what was said before.
 *
 *     current state ──▶ state entries          history, from before the oldest event that the log has ──▶ backfill
 *
 * Nothing is remembered but what is in the log: an import that was interrupted goes on from the oldest event that got
 * there. Everything may be sent twice, which changes nothing (F2).
 */
import type { Bus } from "../bus/client/connection.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { oldestKnownEvent } from "../bus/log/known-events.ts";
import { STATE_READS_MAX } from "../limits.ts";
import { type MatrixEvent, matrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import { deliver } from "./delivery.ts";
import type { Homeserver } from "./homeserver-client.ts";
import { pushedEvent } from "./transaction.ts";

interface ImportOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly homeserver: Homeserver;
  readonly room: RoomId;
  /** Told whenever a part is stored. */
  readonly progress?: (progress: ImportProgress) => void;
}

export interface ImportProgress {
  /** State events and historical events that are stored, by this import. */
  readonly state: number;
  readonly events: number;
  /** How much of the time since the room was made is imported, 0 to 1. */
  readonly done: number;
}

/** Resolves when the log has the room's state and its history, as far back as the homeserver shows it. */
export async function importRoom(options: ImportOptions): Promise<ImportProgress> {
  const { nc, partitions, homeserver, room, progress = () => {} } = options;
  const state = await importState(options);
  const created = state.find(({ type }) => type === "m.room.create")?.origin_server_ts ?? 0;
  const oldest = await oldestKnownEvent(nc, partitionOf(room, partitions), room);

  let from = oldest === undefined ? undefined : await homeserver.before(room, oldest);
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
      progress({ state: state.length, events, done: share(newestTs - ts, newestTs - created) });
    }
    if (end === undefined || end === from) return { state: state.length, events, done: 1 };
    from = end;
  }
}

/** State may change between reading and storing it; so it is read again until it is what was stored. */
async function importState({ nc, homeserver, room }: ImportOptions): Promise<readonly MatrixEvent[]> {
  let stored = new Set<string>();
  for (let read = 1; ; read++) {
    const state = eventsOf(room, await homeserver.state(room)).filter(({ state_key }) => state_key !== undefined);
    const changed = state.filter(({ event_id: id }) => !stored.has(id));
    if (changed.length === 0 || read > STATE_READS_MAX) return state;
    await deliver(nc, { kind: "state", room }, changed);
    stored = new Set(state.map(({ event_id: id }) => id));
  }
}

/** What is well-formed, fit for all. */
function eventsOf(room: RoomId, values: readonly unknown[]): MatrixEvent[] {
  return values.flatMap((value) => {
    const { success, data: event } = matrixEvent.safeParse(value);
    return success && (event.room_id ?? room) === room ? [pushedEvent(event)] : [];
  });
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 1 : Math.min(1, Math.max(0, part / whole));
}
