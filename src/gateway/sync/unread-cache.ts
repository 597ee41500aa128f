/** Unread counts that are known, of all users and rooms together, bounded by the memory that they take. */
import { LRUCache } from "lru-cache";
import type { Answer } from "../../bus/contract/questions.ts";
import { UNREAD_CACHED_BYTES_MAX } from "../../limits.ts";
import type { RoomId } from "../../matrix/ids.ts";

type Counts = Answer<"unread">;

/** The counts of one user. */
export type CountsByRoom = Map<RoomId, Counts>;

/** Memory that counts take, and each thread in them beside its id. */
const COUNTS_COST_BYTES = 600;
const THREAD_COST_BYTES = 150;

interface Place {
  readonly by: CountsByRoom;
  readonly room: RoomId;
}

export class UnreadCache {
  readonly #places: LRUCache<Counts, Place>;

  constructor(bytesMax = UNREAD_CACHED_BYTES_MAX) {
    this.#places = new LRUCache({
      maxSize: bytesMax,
      dispose: ({ by, room }, counts) => {
        if (by.get(room) === counts) by.delete(room);
      },
    });
  }

  get(by: CountsByRoom, room: RoomId): Counts | undefined {
    const counts = by.get(room);
    if (counts !== undefined) this.#places.get(counts);
    return counts;
  }

  set(by: CountsByRoom, room: RoomId, counts: Counts): void {
    this.delete(by, room);
    by.set(room, counts);
    this.#places.set(counts, { by, room }, { size: costOf(counts) });
    if (!this.#places.has(counts)) by.delete(room); // It is larger than the whole cache may be.
  }

  delete(by: CountsByRoom, room: RoomId): void {
    const counts = by.get(room);
    if (counts !== undefined) this.#places.delete(counts);
  }
}

function costOf({ threads }: Counts): number {
  let bytes = COUNTS_COST_BYTES;
  for (const root of Object.keys(threads)) bytes += THREAD_COST_BYTES + 2 * root.length;
  return bytes;
}
