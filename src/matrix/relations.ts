/**
 * How events relate to each other, and which of them count: the parts of an event that decide threads and unread counts.
 *
 * Without any package, for `ReadState` in a browser.
 */
import type { MatrixEvent } from "./event.ts";
import { isEventId } from "./id-grammar.ts";
import type { EventId } from "./ids.ts";

interface Relation {
  readonly relType: string;
  /** undefined if the content names no well-formed event id. */
  readonly eventId: EventId | undefined;
}

/** The event that a content names, which may be any text of any length. */
function named(text: string): EventId | undefined {
  return isEventId(text) ? (text as EventId) : undefined;
}

/** The event's relation, if it has a well-formed one. A plain reply (`m.in_reply_to` alone) has none. */
export function relationOf(event: MatrixEvent): Relation | undefined {
  const relation = event.content["m.relates_to"];
  if (typeof relation !== "object" || relation === null) return undefined;
  const { rel_type: relType, event_id: target } = relation as Record<string, unknown>;
  return typeof relType === "string" && typeof target === "string" ? { relType, eventId: named(target) } : undefined;
}

/** F3. The root of the thread that an event says it is in. */
export function threadRootOf(event: MatrixEvent): EventId | undefined {
  const relation = relationOf(event);
  return relation?.relType === "m.thread" && relation.eventId !== event.event_id ? relation.eventId : undefined;
}

/** F3. The event whose thread this one shares: what it relates to, if it is neither in a thread by itself nor a redaction. */
export function inheritedFrom(event: MatrixEvent): EventId | undefined {
  if (event.type === "m.room.redaction" || threadRootOf(event) !== undefined) return undefined;
  const target = relationOf(event)?.eventId;
  return target === event.event_id ? undefined : target;
}

/** The event that this one redacts. Since room version 11 it is named in `content`. */
export function redactedBy(event: MatrixEvent): EventId | undefined {
  if (event.type !== "m.room.redaction") return undefined;
  if (event.redacts !== undefined) return event.redacts;
  return typeof event.content.redacts === "string" ? named(event.content.redacts) : undefined;
}

/** F13. The types of events that count as unread, stable and unstable. Unknown types don't. */
const UNREAD_TYPES: ReadonlySet<string> = new Set([
  "m.room.message",
  "m.room.encrypted",
  "m.sticker",
  "m.poll.start",
  "org.matrix.msc3381.poll.start",
  "org.matrix.msc3381.v2.poll.start",
  "m.call.invite",
]);

/** F13. Whether the event can make a room unread for others: a message of a person, not state, a notice or an edit. */
export function countsAsUnread(event: MatrixEvent): boolean {
  if (event.state_key !== undefined || !UNREAD_TYPES.has(event.type)) return false;
  if (event.type === "m.room.message" && event.content.msgtype === "m.notice") return false;
  return relationOf(event)?.relType !== "m.replace";
}
