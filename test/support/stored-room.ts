/** A room over a store that is no store: it has nothing, but for what a test says. */
import { Room, type StoredRoom } from "../../actors/room/room.ts";
import { ROOM } from "./given.ts";

const NOTHING = { get: () => undefined, entries: () => [] };
const EMPTY: StoredRoom = {
  facts: undefined,
  events: NOTHING,
  orders: { range: () => [] },
  markers: NOTHING,
  members: NOTHING,
  redactions: NOTHING,
  state: NOTHING,
  held: [],
  unread: { threads: () => [], between: () => [] },
};

export const roomOver = (stored: Partial<StoredRoom>): Room => new Room(ROOM, { ...EMPTY, ...stored });
