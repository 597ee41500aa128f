/** A room over a store that is no store: it has nothing, but for what a test says. */
import { Room, type StoredRoom } from "../../actors/room/room.ts";
import { BASE, ROOM } from "./example-room.ts";

const NOTHING = { get: () => undefined, entries: () => [] };
const EMPTY: StoredRoom = {
  facts: undefined,
  events: NOTHING,
  byOrder: { range: () => [] },
  relations: { range: () => [] },
  relationsByType: { range: () => [] },
  threads: { summaries: NOTHING, senders: NOTHING, activity: { range: () => [] } },
  markers: { of: () => [], all: () => [], from: () => [] },
  members: NOTHING,
  joined: NOTHING,
  joins: NOTHING,
  redactions: NOTHING,
  erasures: NOTHING,
  state: NOTHING,
  stateBodies: { at: () => undefined, above: () => [] },
  stateChanges: { byKey: { range: () => [] }, places: { range: () => [] } },
  held: [],
  unsettled: [],
  sent: { main: NOTHING, inThread: () => [] },
  unread: { threads: () => [], between: () => [] },
};

export const roomOver = (stored: Partial<StoredRoom>): Room => new Room(ROOM, BASE, { ...EMPTY, ...stored });
