/** Rooms and users of the cluster under test, such that every partition and every federation stream has some. */
import { partitionOf, shardOf } from "../../src/bus/contract/subjects.ts";
import { FEDERATION_SHARDS } from "../../src/limits.ts";
import { roomId, serverName } from "../../src/matrix/ids.ts";

export const PARTITIONS = 4;
const ROOMS_PER_PARTITION = 2;
const USERS_EACH = 5;
export const LOCAL_SERVER = "a.org";

/** The users of a history: of their own, so that a client has as many rooms in the last history as in the first. */
export function usersOf(name: string): string[] {
  return Array.from({ length: USERS_EACH }, (_, i) => `@${name}u${i}:${LOCAL_SERVER}`);
}

export const partitionIn = (room: string): number => partitionOf(roomId.parse(room), PARTITIONS);

/** Names rooms, as many of each partition. */
export function roomsOf(name: string): string[] {
  return spread((i) => `!${name}r${i}:${LOCAL_SERVER}`, {
    placeOf: partitionIn,
    places: PARTITIONS,
    each: ROOMS_PER_PARTITION,
  });
}

/** A user of another server for each stream of receipts to other servers. */
export const REMOTE_USERS: readonly string[] = spread((i) => `@remote:b${i}.org`, {
  placeOf: (user) => shardOf(serverName.parse(user.slice(user.indexOf(":") + 1)), FEDERATION_SHARDS),
  places: FEDERATION_SHARDS,
  each: 1,
});

interface Places {
  readonly placeOf: (name: string) => number;
  readonly places: number;
  readonly each: number;
}

/** Returns names of which `each` are in every place. */
function spread(name: (i: number) => string, { placeOf, places, each }: Places): string[] {
  const found = Array.from({ length: places }, (): string[] => []);
  for (let i = 0; found.some(({ length }) => length < each); i++) {
    const place = found[placeOf(name(i))]!;
    if (place.length < each) place.push(name(i));
  }
  return found.flat();
}
