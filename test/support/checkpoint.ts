/** Writes a room's checkpoint as of its last entry. `meanwhile`: called after it is collected, and before it is written. */
import { sequenceOf } from "../../actors/entry.ts";
import type { Room } from "../../actors/room/room.ts";
import type { PartitionStore } from "../../src/store/partition-store.ts";

export function checkpoint(store: PartitionStore, room: Room, meanwhile: () => void): void {
  const mark = { sequence: sequenceOf(room.position), room: room.id, at: 1, entries: 1 };
  const collected = store.collect([room], mark);
  meanwhile();
  store.commit(collected);
}
