import * as assert from "uvu/assert";
import { ALL } from "../../actors/room/order-index.ts";
import type { Room } from "../../actors/room/room.ts";
import type { StateGroup } from "../../actors/room/state-changes.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { isPrivate } from "../../src/matrix/receipt-types.ts";
import { unreadOf } from "./given.ts";

const byText = (rows: Iterable<unknown>): string[] => Array.from(rows, (row) => JSON.stringify(row)).sort();

const STATE_GROUPS: readonly StateGroup[] = ["members", "others"];

function changesOf({ stateChanges }: Room, group: StateGroup) {
  const keys = new Set(Array.from(stateChanges.places.range(group), ([, { key }]) => key));
  return Array.from(keys, (key) => [key, ...stateChanges.downFrom(key, Number.POSITIVE_INFINITY)]);
}

function publicMarkersOf({ markers }: Room): string[] {
  const found = [...markers.publicFrom(0)];
  const positions = found.map(({ position }) => position);
  assert.equal(
    positions,
    [...positions].sort((a, b) => a - b),
    "public markers are read by position",
  );
  const expected = byText([...markers].filter(({ type }) => !isPrivate(type)));
  assert.equal(byText(found), expected, "the index has every public marker once");
  return expected;
}

function presentIn({ members, present }: Room): Room["present"] {
  const found = { join: 0, invite: 0 };
  for (const [, { membership }] of members) {
    if (membership === "join" || membership === "invite") found[membership]++;
  }
  assert.equal(present, found, "those who are present are counted");
  return present;
}

/** Everything of a room that can be compared, in an order that doesn't depend on where its rows are. */
export function stateOf(room: Room, users: readonly UserId[]) {
  return {
    position: room.position,
    changed: room.changed,
    timeline: [...room.timeline],
    acl: room.acl,
    membershipKnown: room.membershipKnown,
    present: presentIn(room),
    events: byText(room.events),
    orders: { ...room.orders },
    liveEvents: room.liveEvents,
    byOrder: [...room.byOrder.range(ALL)],
    threads: byText(room.threads.summaries),
    threadSenders: byText(room.threads.senders),
    threadActivity: [...room.threads.activity.range(ALL)],
    markers: byText(room.markers),
    publicMarkers: publicMarkersOf(room),
    redactions: byText(room.redactions),
    held: [...room.held],
    members: byText(room.members),
    joined: [...room.joined.servers].sort(),
    joins: byText(room.joins),
    state: byText(room.state),
    firstLive: room.firstLive,
    statePlaces: STATE_GROUPS.map((group) => [...room.stateChanges.places.range(group)]),
    stateChanges: byText(STATE_GROUPS.flatMap((group) => changesOf(room, group))),
    sent: users.map((user) => [user, room.sent.newest(user, "main")]),
    unread: users.map((user) => unreadOf(room, user)),
  };
}
