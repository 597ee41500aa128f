import { ALL } from "../../actors/room/order-index.ts";
import type { Room } from "../../actors/room/room.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { unreadOf } from "./given.ts";

const byText = (rows: Iterable<unknown>): string[] => Array.from(rows, (row) => JSON.stringify(row)).sort();

/** Everything of a room that can be compared, in an order that doesn't depend on where its rows are. */
export function stateOf(room: Room, users: readonly UserId[]) {
  return {
    position: room.position,
    changed: room.changed,
    timeline: [...room.timeline],
    acl: room.acl,
    membershipKnown: room.membershipKnown,
    events: byText(room.events),
    orders: { ...room.orders },
    liveEvents: room.liveEvents,
    byOrder: [...room.byOrder.range(ALL)],
    markers: byText(room.markers),
    redactions: byText(room.redactions),
    held: [...room.held],
    members: byText(room.members),
    joined: [...room.joined.servers].sort(),
    joins: byText(room.joins),
    state: byText(room.state),
    sent: users.map((user) => [user, room.sent.newest(user, "main")]),
    unread: users.map((user) => unreadOf(room, user)),
  };
}
