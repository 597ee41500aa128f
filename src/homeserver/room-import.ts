/**
 * Imports an existing room from a homeserver: its current state, then its history.
 *
 *     joined? ─▶ state ─▶ history to the depth ─▶ joined? ─┃─▶ state entries ─▶ folded? ─▶ history entries ─▶ older pages:
 *                        reads only                        ┃                                                 backfill
 *
 * - Nothing is stored before all of that is read, and before the homeserver has said twice that whoever asks is joined: to somebody
 *   who was removed it shows the state of that time.
 * - The homeserver may push the same room meanwhile. A pushed event stands over state that was read before (`as_of`, F10). Of the
 *   history, what is newer than a pushed event is left out (`imported-history.ts`); that is found out after the state entries
 *   are folded, because an answer has all that was in the log before them.
 * - History goes below all that is known (F1), newest first. So what is stored at any time is a room without its older part, an
 *   interrupted import continues from the oldest event, and two imports at once store the same events in the same order (F2).
 */
import type { Order, Position } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { send } from "../bus/client/request.ts";
import { TidemarkError } from "../errors.ts";
import { isState, type MatrixEvent, type StateEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import { batches, deliverOlder, sendWithRetry } from "./delivery.ts";
import type { HomeserverClient } from "./homeserver-client.ts";
import { eventsOf, ImportedHistory } from "./imported-history.ts";
import { KnownHistory } from "./known-history.ts";

/** How many events of a room may be unread. Older ones count as read by everybody. */
export const IMPORT_DEPTH_DEFAULT = 10_000;

/** How often a room's state is read again because it changed while it was being stored. */
const STATE_READS_MAX = 5;

/** How often history is looked up again because something came to its room. */
const STORE_ATTEMPTS_MAX = 100;

interface ImportOptions {
  readonly nc: Bus;
  readonly homeserver: HomeserverClient;
  readonly room: RoomId;
  /**
   * Returns as whom history is asked for, by the room's create event and member events; undefined if there is nobody. Default:
   * `homeserver`, which is asked for all else.
   */
  readonly historian?: (state: readonly MatrixEvent[]) => Promise<HomeserverClient | undefined>;
  /** Whether state is left alone that Tidemark has already. Default: false. */
  readonly keepsState?: boolean;
  /** Bytes of history, as JSON, that are held until it is stored. Default: 64 MiB. */
  readonly heldBytesMax?: number;
  /** History is stored until so many events have positive orders. Default: `IMPORT_DEPTH_DEFAULT`. */
  readonly depth?: number;
  /** Called whenever a page of history is read. */
  readonly onProgress?: (progress: ImportProgress) => void;
}

export interface ImportProgress {
  /** The number of state events. */
  readonly state: number;
  /** The number of historical events that were read; at the end, of those that were stored. */
  readonly events: number;
  /** The share of the time since the room was created that is read, 0 to 1. */
  readonly done: number;
}

/**
 * Resolves once the state and the history, as far back as the homeserver serves it, are in the log. Throws
 * `HOMESERVER_REFUSED` if an asker is not joined, there is no historian, or a request fails; nothing is stored if that is before the
 * depth is reached.
 */
export async function importRoom(options: ImportOptions): Promise<ImportProgress> {
  const { nc, homeserver, room, depth = IMPORT_DEPTH_DEFAULT, onProgress = () => {}, heldBytesMax } = options;
  await assertJoined(homeserver, room);

  const known = new KnownHistory(nc, room);
  const hasState = options.keepsState === true && (await known.hasState());
  const state = hasState ? undefined : await readState(homeserver, room, known);
  const historian = await historianOf(options, state?.events ?? (await known.createAndMembers()));
  const { oldest, historyLeft } = await known.ends();
  const from = oldest === undefined ? undefined : await historian.tokenBefore(room, oldest);
  const onPage = progressOf(state?.events ?? [], onProgress);
  const history = new ImportedHistory({ homeserver: historian, room, known, from, onPage, heldBytesMax });
  await history.hold(from === undefined ? depth : historyLeft(depth));
  if (historian !== homeserver) await assertJoined(historian, room);
  await assertJoined(homeserver, room);

  const position = state && (await importState(options, known, state));
  if (position !== undefined) await known.folded(position);
  let left = historyLeft(depth);
  let stored = 0;
  const store = async (events: readonly MatrixEvent[], after?: Position) => {
    const unread = events.slice(0, left);
    left -= unread.length;
    // Another import may have stored them meanwhile. A repetition would change nothing, but stay in the log for ever.
    const missing = after === undefined ? await known.unknownOf(events) : new Set(events);
    const unreadMissing = unread.filter((event) => missing.has(event));
    const readMissing = events.slice(unread.length).filter((event) => missing.has(event));
    await deliverOlder(nc, { kind: "history", room, after }, unreadMissing);
    await deliverOlder(
      nc,
      { kind: "backfill", room, after: unreadMissing.length === 0 ? after : undefined },
      readMissing,
    );
    stored += missing.size;
  };
  await storeHeld(history, store);
  for await (const page of history.rest()) await store(page);
  return { state: state?.events.length ?? 0, events: stored, done: 1 };
}

/**
 * Where nothing of what is held is known, an event of it may be pushed before it is stored, and the newer ones would then be on the
 * wrong side. So it is stored only if nothing has come to the room since it was looked up, and is looked up again otherwise.
 */
async function storeHeld(
  history: ImportedHistory,
  store: (events: readonly MatrixEvent[], after?: Position) => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { events, asOf } = await history.held();
    try {
      return await store(events, asOf);
    } catch (error) {
      const hasChanged = error instanceof TidemarkError && error.code === "M_BAD_STATE";
      if (!hasChanged || attempt === STORE_ATTEMPTS_MAX) throw error;
    }
  }
}

async function historianOf(
  { homeserver, room, historian }: ImportOptions,
  state: readonly MatrixEvent[],
): Promise<HomeserverClient> {
  if (historian === undefined) return homeserver;
  const found = await historian(state.filter(({ type }) => type === "m.room.member" || type === "m.room.create"));
  if (found === undefined)
    throw new TidemarkError("HOMESERVER_REFUSED", `nobody can be asked for the history of ${room}`);
  return found;
}

async function assertJoined(homeserver: HomeserverClient, room: RoomId): Promise<void> {
  const asker = await homeserver.user();
  const membership = await homeserver.membership(room, asker);
  if (membership === "join") return;
  throw new TidemarkError(
    "HOMESERVER_REFUSED",
    `${asker} is not joined to ${room} (${membership ?? "no membership"}): only who is joined is shown its current state`,
  );
}

/** State as it was read, with the order of the newest live event that was known before. */
interface ReadState {
  readonly events: readonly StateEvent[];
  readonly asOf: Order;
}

/** So a room whose create event is in Tidemark's state has all of the state, also after an import that was interrupted. */
function createLast(state: readonly StateEvent[]): StateEvent[] {
  const isCreate = ({ type }: StateEvent) => type === "m.room.create";
  return [...state.filter((event) => !isCreate(event)), ...state.filter(isCreate)];
}

async function readState(homeserver: HomeserverClient, room: RoomId, known: KnownHistory): Promise<ReadState> {
  const asOf = await known.newestOrder();
  const events = (await eventsOf(room, await homeserver.state(room))).filter(isState);
  return { events: createLast(events), asOf };
}

/**
 * State may change between reading and storing it. So it is read again, until nothing is new (`STATE_READS_MAX`). Returns the
 * position of the last entry; undefined if there is no state.
 */
async function importState(
  { nc, homeserver, room }: ImportOptions,
  known: KnownHistory,
  first: ReadState,
): Promise<Position | undefined> {
  let stored = new Set<string>();
  let position: Position | undefined;
  let { events, asOf } = first;
  for (let read = 1; ; read++) {
    const changed = events.filter(({ event_id: id }) => !stored.has(id));
    if (changed.length === 0 || read > STATE_READS_MAX) return position;
    for (const batch of batches(changed)) {
      const positions = await sendWithRetry(() => send(nc, { kind: "state", room }, { events: batch, as_of: asOf }));
      position = positions.at(-1);
    }
    stored = new Set(events.map(({ event_id: id }) => id));
    ({ events, asOf } = await readState(homeserver, room, known));
  }
}

/** Returns a callback for each page of history, which reports how much of the room's time is read. */
function progressOf(state: readonly MatrixEvent[], onProgress: (progress: ImportProgress) => void) {
  const created = state.find(({ type }) => type === "m.room.create")?.origin_server_ts ?? 0;
  let newest: number | undefined;
  let events = 0;
  return (page: readonly MatrixEvent[]) => {
    events += page.length;
    newest ??= page[0]?.origin_server_ts;
    const oldest = page.at(-1)?.origin_server_ts;
    if (newest === undefined || oldest === undefined) return;
    onProgress({ state: state.length, events, done: share(newest - oldest, newest - created) });
  };
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 1 : Math.min(1, Math.max(0, part / whole));
}
