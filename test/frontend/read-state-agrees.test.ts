/** `ReadState`, given all events and markers of a room, says what the worker says (F3, F11 to F13). */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, hasEvent, LIVE, STATE } from "../../actors/entry.ts";
import { receiptEvent } from "../../actors/partition/changes.ts";
import { fold, isRead } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { ReadState } from "../../src/frontend/read-state.ts";
import { type MatrixEvent, withOrder } from "../../src/matrix/event.ts";
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import { FULLY_READ } from "../../src/matrix/receipt-types.ts";
import { fullyReadOf } from "../../src/worker/delta-messages.ts";
import { EVENT_IDS, type Positioned, plainHistory, USERS } from "../support/arbitraries.ts";
import { BASE, ROOM } from "../support/example-room.ts";
import { unreadOf } from "../support/given.ts";
import { check } from "../support/property.ts";

const agreement = suite("ReadState and the worker");

/** Live member events, which say truthfully what was before; a client sees no `state` entries. */
function asClientsSee(history: readonly Positioned[]): Positioned[] {
  const memberships = new Map<string, unknown>();
  const known = new Set<string>();
  return history.flatMap(({ position, entry }) => {
    if (!hasEvent(entry)) return [{ position, entry }];
    if (entry[0] === STATE || known.has(entry[1].event_id)) return [];
    const [kind, event] = entry;
    known.add(event.event_id);
    if (event.type !== "m.room.member") return [{ position, entry }];
    if (kind !== LIVE) return [];
    const before = memberships.get(event.state_key!);
    if (typeof event.content.membership === "string") memberships.set(event.state_key!, event.content.membership);
    const { unsigned: _, ...rest } = event;
    const told: MatrixEvent =
      before === undefined ? rest : { ...rest, unsigned: { prev_content: { membership: before } } };
    return [{ position, entry: [kind, told] as Entry }];
  });
}

agreement("agree on threads, reading and counts after every entry", () => {
  check(
    fc.property(plainHistory, (history) => {
      const room = new Room(ROOM, BASE);
      const state = new ReadState();
      for (const { position, entry } of asClientsSee(history)) {
        const outcome = fold(room, position, entry);
        if (outcome.outcome === "ordered" && hasEvent(entry)) state.note(withOrder(entry[1], outcome.order));
        for (const marker of room.markers) {
          if (marker.type !== FULLY_READ) state.apply(receiptEvent([marker]).content);
          else state.fullyRead(marker.user, fullyReadOf(marker), position);
        }
        const told = [...state.markers].filter(({ type }) => type === FULLY_READ);
        for (const { user, event } of told) assert.is(event, room.markers.get(user as UserId, FULLY_READ, null)?.event);
        for (const id of EVENT_IDS) {
          const info = room.events.get(id as EventId);
          if (info === undefined) continue;
          assert.is(state.thread(id), info.thread, id);
          for (const user of USERS) assert.is(state.isRead(id, user), isRead(room, user, info.id), `${user} ${id}`);
        }
        for (const user of USERS) {
          if (room.membershipKnown && room.members.get(user) === undefined) continue; // nothing tells a client
          const { total, main, threads } = state.unread(user);
          assert.equal({ unthreaded: total, main, threads: Object.fromEntries(threads) }, unreadOf(room, user));
        }
      }
    }),
    { numRuns: 150 },
  );
});

agreement.run();
