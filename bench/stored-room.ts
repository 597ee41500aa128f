/** Fills a store with rooms, and opens it. */
import { pino } from "pino";
import { type Entry, positionOf } from "../actors/entry.ts";
import { fold } from "../actors/room/fold.ts";
import type { Room } from "../actors/room/room.ts";
import { ENTRIES_PER_RECORD_MAX } from "../src/limits.ts";
import type { RoomId } from "../src/matrix/ids.ts";
import { PartitionStore } from "../src/store/partition-store.ts";
import { LONG_AGO } from "./entries.ts";

const CHECKPOINT_ENTRIES = 50_000;

export const openStore = (dir: string) => PartitionStore.open(dir, pino({ level: "silent" }));

/** Folds entries into rooms of a store. */
export class StoreWriter {
  readonly #store: PartitionStore;
  readonly #rooms = new Map<RoomId, Room>();
  #next = positionOf(1, 0);
  #folded = 0;

  constructor(store: PartitionStore) {
    this.#store = store;
  }

  /** The position of the next entry. */
  get position(): number {
    return this.#next;
  }

  fold(id: RoomId, entry: Entry): void {
    let room = this.#rooms.get(id);
    if (room === undefined) {
      room = this.#store.load(id);
      this.#rooms.set(id, room);
    }
    fold(room, this.#next++, entry);
    if (++this.#folded % CHECKPOINT_ENTRIES === 0) this.commit();
  }

  commit(): void {
    if (this.#rooms.size === 0) return;
    const rooms = [...this.#rooms.values()];
    const sequence = Math.floor(this.#next / ENTRIES_PER_RECORD_MAX);
    const mark = { sequence, room: rooms.at(-1)!.id, at: LONG_AGO, entries: 1 };
    this.#store.commit(this.#store.collect(rooms, mark));
    this.#rooms.clear();
  }
}
