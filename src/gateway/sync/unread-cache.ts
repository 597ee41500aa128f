/** Unread counts that are known, of all users and rooms together, bounded by the memory that they take. */
import type { Answer } from "../../bus/contract/questions.ts";
import { UNREAD_CACHED_BYTES_MAX } from "../../limits.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { BoundedMaps } from "./bounded-maps.ts";

type Counts = Answer<"unread">;

/** The counts of one user. */
export type CountsByRoom = Map<RoomId, Counts>;

/** Memory that counts take, and each thread in them beside its id. */
const COUNTS_COST_BYTES = 600;
const THREAD_COST_BYTES = 150;

export class UnreadCache extends BoundedMaps<RoomId, Counts> {
  constructor(bytesMax = UNREAD_CACHED_BYTES_MAX) {
    super(bytesMax, costOf);
  }
}

function costOf({ threads }: Counts): number {
  let bytes = COUNTS_COST_BYTES;
  for (const root of Object.keys(threads)) bytes += THREAD_COST_BYTES + 2 * root.length;
  return bytes;
}
