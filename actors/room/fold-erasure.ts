/** What an erasure takes out of its room (F14). What the room's state, order and threads need stays, and so do the ids in others' events. */
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import type { ErasureEntry, EventInfo, Position } from "../entry.ts";
import { redactAhead, redactKnown } from "./event-threads.ts";
import { release } from "./fold-receipt.ts";
import { redactState } from "./fold-state.ts";
import type { Outcome } from "./outcome.ts";
import type { Room } from "./room.ts";
import { memberKey } from "./state-changes.ts";

export function foldErasure(room: Room, position: Position, [, user, before, ids]: ErasureEntry): Outcome {
  room.erasures.set(user, Math.max(before, room.erasures.get(user) ?? 0));
  room.hasErasures = true;
  const held = room.held.of(user);
  for (const each of held) room.held.release(each);
  const receipts = room.markers.removeAll(user).length + held.length;
  const events: EventId[] = [];
  const moved = new Map<EventId, EventInfo>();
  for (const id of ids) {
    const info = room.events.get(id);
    if (info === undefined) redactAhead(room, id, id);
    else if (isErasable(info, user)) {
      events.push(id);
      for (const each of redactKnown(room, info, id)) moved.set(each.id, each);
    }
  }
  for (const { entry, position } of membershipsOf(room, user)) if (ids.includes(entry)) redactState(room, position);
  const rethreaded = [...moved.values()].sort((a, b) => a.position - b.position);
  return { outcome: "erased", user, receipts, events, rethreaded, judged: release(room, position, rethreaded) };
}

/** The user's member events that `state` entries said: they have no order, so only the state knows them. */
function* membershipsOf({ stateChanges }: Room, user: UserId): Generator<{ entry: EventId; position: Position }> {
  for (const [, { entry, position }] of stateChanges.downFrom(memberKey(user), Number.POSITIVE_INFINITY)) {
    if (entry !== undefined) yield { entry, position };
  }
}

/** An event that is redacted already stays so: its redaction is shown with it. */
function isErasable({ sender, redaction }: EventInfo, user: UserId): boolean {
  return sender === user && redaction === undefined;
}
