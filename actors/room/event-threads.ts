/** Which thread an event is in (F3), and what changes with it: when another event comes, or a redaction (F11). */
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { MAIN } from "../../src/matrix/id-grammar.ts";
import type { EventId, ThreadId } from "../../src/matrix/ids.ts";
import { inheritedFrom, redactedBy, threadRootOf } from "../../src/matrix/relations.ts";
import type { EventInfo } from "../entry.ts";
import { redactState } from "./fold-state.ts";
import type { Room } from "./room.ts";
import type { UnsettledEvent } from "./threads.ts";

/** F3. Sets the event's thread. Returns the events that are settled because there are too many unsettled ones. */
export function placeInThread(room: Room, info: EventInfo, event: MatrixEvent): EventInfo[] {
  const named = threadRootOf(event);
  const target = named === undefined ? inheritedFrom(event) : undefined;
  const above = target === undefined ? undefined : room.events.get(target);
  const redaction = room.redactionsAhead ? room.redactions.get(info.id) : undefined;
  if (redaction !== undefined) {
    // F11. The event is in main, as if it had come before its redaction.
    info.redaction = redaction;
    info.counts = false;
    const before = named ?? (above?.settled ? above.thread : MAIN);
    if (before !== MAIN) info.movedFrom = before;
    return [];
  }
  if (named !== undefined) info.thread = named;
  if (target === undefined) return [];
  info.inherits = true;
  if (above?.settled) {
    info.thread = above.thread;
    return [];
  }
  const awaited = above === undefined ? target : room.unsettled.awaitedBy(target)!;
  if (awaited === info.id) return []; // a circle: all of it is in main
  info.settled = false;
  const { id, position, order, sender } = info;
  const surplus = room.unsettled.add({ id, position, order, sender, target }, awaited);
  // Its events are read from the room, this one too.
  room.events.set(id, info);
  return surplus === undefined ? [] : settleAsMain(room, surplus);
}

/** F3. Settles the events that awaited this one, or makes them await what this one awaits. Returns those that were settled. */
export function settleAwaiting(room: Room, info: EventInfo): EventInfo[] {
  const awaiting = room.unsettled.awaiting(info.id);
  if (awaiting.length === 0) return [];
  if (info.settled) return awaiting.map((event) => settle(room, event, info.thread));
  room.unsettled.merge(info.id, room.unsettled.awaitedBy(info.id)!);
  return [];
}

function settle(room: Room, event: UnsettledEvent, thread: ThreadId): EventInfo {
  room.unsettled.delete(event);
  const info = room.events.get(event.id)!;
  if (info.counts && info.thread !== thread) room.unread.move(info, thread);
  info.thread = thread;
  info.settled = true;
  room.events.set(info.id, info);
  if (info.order > 0) {
    room.sent.add(info);
    room.markers.touch(info.sender, MAIN);
    room.markers.touch(info.sender, thread);
  }
  return info;
}

/** F3, F6. Settles an event, and those that inherit from it, as `main`, although the event that it awaits has not come. */
export function settleAsMain(room: Room, event: UnsettledEvent): EventInfo[] {
  const settled: EventInfo[] = [];
  const stack = [event];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    settled.push(settle(room, next, MAIN));
    for (const [, id] of room.relations.range(next.id)) {
      const child = room.unsettled.get(id);
      if (child?.target === next.id) stack.push(child);
    }
  }
  return settled;
}

/** F13. The event counts like a receipt of its sender's for its thread. While it is unsettled, `room.unsettled` has it. */
export function noteSent(room: Room, info: EventInfo): void {
  if (!info.settled || room.sent.add(info)) room.markers.touch(info.sender, info.thread);
}

/**
 * F11. The target keeps its order and markers, and does not count as unread; it moves to `main`, with what inherits its thread. A
 * target that is not known is redacted when it comes. Returns the events that it moved.
 */
export function redact(room: Room, redaction: MatrixEvent): EventInfo[] {
  const id = redactedBy(redaction);
  if (id === undefined) return [];
  const target = room.events.get(id);
  if (target === undefined) {
    redactAhead(room, id, redaction.event_id);
    return [];
  }
  return target.redaction === undefined ? redactKnown(room, target, redaction.event_id) : [];
}

/** F11. `by`: the event that redacts this one, which is not known, or known only as state. */
export function redactAhead(room: Room, id: EventId, by: EventId): void {
  if (room.redactions.get(id) === undefined) room.redactions.set(id, by);
  room.redactionsAhead = true;
}

/** F11, F14. The event is not redacted yet. Returns the events that this moved. */
export function redactKnown(room: Room, target: EventInfo, by: EventId): EventInfo[] {
  target.redaction = by;
  redactState(room, target.position);
  if (target.counts) room.unread.remove(target);
  target.counts = false;
  room.events.set(target.id, target);
  if (target.thread !== MAIN && !target.inherits) room.threads.remove(target.thread, target);
  return moveToMain(room, target);
}

/** F11. Moves an event, and what inherits its thread, to `main`. Returns those that were in another thread, or unsettled. */
function moveToMain(room: Room, target: EventInfo): EventInfo[] {
  const moved: EventInfo[] = [];
  const stack = [target];
  for (let info = stack.pop(); info !== undefined; info = stack.pop()) {
    const unsettled = room.unsettled.get(info.id);
    if (unsettled !== undefined) moved.push(settle(room, unsettled, MAIN));
    else if (info.thread === MAIN) continue;
    else moved.push(leaveThread(room, info));
    for (const [, id] of room.relations.range(info.id)) {
      const child = room.events.get(id);
      if (child?.inherits && (!child.settled || child.thread !== MAIN)) stack.push(child);
    }
  }
  return moved;
}

function leaveThread(room: Room, info: EventInfo): EventInfo {
  const { thread, sender } = info;
  if (info.counts) room.unread.move(info, MAIN);
  if (info.order > 0) room.sent.remove(info);
  info.movedFrom = thread;
  info.thread = MAIN;
  room.events.set(info.id, info);
  if (info.order < 0) return info;
  room.sent.add(info);
  room.markers.touch(sender, thread);
  room.markers.touch(sender, MAIN);
  return info;
}
