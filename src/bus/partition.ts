import type { RoomId } from "../matrix/ids.ts";

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** The partition of a room: FNV-1a-32 of its id's UTF-8, modulo the partition count (DESIGN 4.3). */
export function partitionOf(room: RoomId, partitions: number): number {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(room)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return (hash >>> 0) % partitions;
}
