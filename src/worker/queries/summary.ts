/**
 * The summary of a room (Matrix specification, `RoomSummary` of `/sync`): how many users are in it, which the fold counts, and who
 * gives it a name if it has none. Those are looked for among the members in the order of their member events, `MEMBERS_SCAN_MAX` of
 * them from either end, so that a summary costs the same in rooms of every size.
 */
import type { Room } from "../../../actors/room/room.ts";
import { memberKey, stateKey } from "../../../actors/room/state-changes.ts";
import type { RoomSummary } from "../../bus/contract/questions.ts";
import { HEROES_MAX, MEMBERS_SCAN_MAX } from "../../limits.ts";
import type { UserId } from "../../matrix/ids.ts";
import type { Asking } from "./asking.ts";
import { eventOf } from "./bodies.ts";

const PREFIX_LENGTH = memberKey("" as UserId).length;

/** State that names a room, and the field that does. */
const NAMES = [
  [stateKey("m.room.name", ""), "name"],
  [stateKey("m.room.canonical_alias", ""), "alias"],
] as const;

export async function summary({ bodies, room }: Pick<Asking, "bodies" | "room">): Promise<RoomSummary> {
  const { join: joined, invite: invited } = room.present;
  const heroes = heroesOf(room);
  return { joined, invited, ...(!(await isNamed(bodies, room)) && { heroes }) };
}

async function isNamed(bodies: Asking["bodies"], room: Room): Promise<boolean> {
  const places = NAMES.flatMap(([key, field]) => {
    const position = room.state.peek(key)?.position;
    return position === undefined ? [] : [{ key, position, field }];
  });
  const events = await bodies.state(room, places);
  return events.some((event, i) => {
    const name = eventOf(event).content[places[i]!.field];
    return typeof name === "string" && name !== "";
  });
}

/** The first members or, where too many of these have left, the last ones. */
function heroesOf(room: Room): UserId[] {
  const present = new Set<UserId>();
  const gone = new Set<UserId>();
  const wanted = Math.min(HEROES_MAX + 1, room.present.join + room.present.invite);
  for (const dir of ["f", "b"] as const) {
    let looked = 0;
    const range = { dir, above: 0, below: Number.POSITIVE_INFINITY };
    for (const [position, { key }] of room.stateChanges.places.range("members", range)) {
      const isEnough = present.size === wanted && (wanted > 1 || gone.size === HEROES_MAX);
      if (isEnough || looked++ === MEMBERS_SCAN_MAX) break;
      if (room.state.peek(key)?.position !== position) continue;
      const user = key.slice(PREFIX_LENGTH) as UserId;
      const membership = room.members.peek(user)?.membership;
      if (membership === "join" || membership === "invite") present.add(user);
      else if ((membership === "leave" || membership === "ban") && gone.size < HEROES_MAX) gone.add(user);
    }
  }
  return wanted > 1 ? [...present] : [...present, ...gone];
}
