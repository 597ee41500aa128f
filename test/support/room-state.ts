import { ALL } from "../../actors/room/event-orders.ts";
import type { Room } from "../../actors/room/room.ts";
import type { UserId } from "../../src/matrix/ids.ts";

const byText = (rows: Iterable<unknown>): string[] => Array.from(rows, (row) => JSON.stringify(row)).sort();

const EVERYTHING = { dir: "f", above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY } as const;

/** Everything of a room that can be compared, in an order that doesn't depend on where its rows are. */
export function stateOf(room: Room, users: readonly UserId[]) {
  return {
    position: room.position,
    changed: room.changed,
    timeline: [...room.timeline],
    acl: room.acl,
    membershipKnown: room.membershipKnown,
    events: byText(room.events),
    orders: [...room.orders.range(ALL, EVERYTHING)],
    markers: byText(room.markers),
    redactions: byText(room.redactions),
    held: [...room.held],
    members: byText(room.members),
    unread: users.map((user) => room.unread.count(user, room.markers)),
  };
}
