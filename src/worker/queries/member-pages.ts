/** Pages of a room's members, by the position of their member events. */
import type { Position } from "../../../actors/entry.ts";
import type { Room } from "../../../actors/room/room.ts";
import { memberKey } from "../../../actors/room/state-changes.ts";
import { MEMBERS_BYTES_MAX, MEMBERS_SCAN_MAX } from "../../limits.ts";
import type { UserId } from "../../matrix/ids.ts";
import type { SizeOf } from "./sizes.ts";

const PREFIX_LENGTH = memberKey("" as UserId).length;

export interface MemberPage {
  readonly members: Record<string, string>;
  /** Where the next page begins. */
  readonly members_more?: Position;
}

export function memberPage(room: Room, after: Position, sizeOf: SizeOf): MemberPage {
  const members: Record<string, string> = {};
  let bytes = 0;
  let looked = 0;
  let last = after;
  const range = { dir: "f", above: after, below: Number.POSITIVE_INFINITY } as const;
  for (const [position, { key }] of room.stateChanges.places.range("members", range)) {
    if (looked++ === MEMBERS_SCAN_MAX) return { members, members_more: last };
    const user = key.slice(PREFIX_LENGTH) as UserId;
    const membership = room.state.peek(key)?.position === position ? room.members.peek(user)?.membership : undefined;
    if (membership !== undefined) {
      bytes += sizeOf(user) + sizeOf(membership);
      if (bytes > MEMBERS_BYTES_MAX) return { members, members_more: last };
      members[user] = membership;
    }
    last = position;
  }
  return { members };
}
