/** Room events as a homeserver hands them over, and what Tidemark reads in them. */
import * as z from "zod";
import { ID_BYTES_MAX } from "../limits.ts";
import { type EventId, eventId, roomId, userId, utf8Bytes } from "./ids.ts";

type Json = Record<string, unknown>;

/** Kept as it came: its depth, numbers and keys were checked when it was decoded. */
const object = z.custom<Json>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
  error: "must be an object",
});

const name = (what: string) =>
  z
    .string({ error: `must be ${what}` })
    .refine((text) => utf8Bytes(text) <= ID_BYTES_MAX, { error: `must be at most ${ID_BYTES_MAX} bytes` });

/** Milliseconds since 1970. Servers disagree about the past, so only the type is checked. */
export const timestamp = z.int({ error: "must be an integer of milliseconds" });

/** One event of a request to `tidemark.in.event`, `.backfill` or `.state` (docs/design.md#requests). Other keys are dropped. */
export const matrixEvent = z.object(
  {
    event_id: eventId,
    type: name("an event type"),
    sender: userId,
    origin_server_ts: timestamp,
    content: object,
    state_key: name("a state key").optional(),
    redacts: eventId.optional(),
    unsigned: object.optional(),
    room_id: roomId.optional(),
  },
  { error: "must be an event (an object)" },
);

export type MatrixEvent = z.infer<typeof matrixEvent>;

/** An event as Tidemark publishes it: with its order (MSC4033). */
export const orderedEvent = matrixEvent.extend({ unsigned: z.looseObject({ order: z.int() }) });

export type OrderedEvent = z.infer<typeof orderedEvent>;

export function withOrder(event: MatrixEvent, order: number): OrderedEvent {
  return { ...event, unsigned: { ...event.unsigned, order } };
}

interface Relation {
  readonly relType: string;
  /** undefined for what is no event id. */
  readonly eventId: EventId | undefined;
}

/** The event that a content names. That may be any string, and of any length. */
function named(text: string): EventId | undefined {
  return eventId.safeParse(text).data;
}

/** The event's relation, if it has a well-formed one. A plain reply (`m.in_reply_to` alone) is none. */
export function relationOf(event: MatrixEvent): Relation | undefined {
  const relation = event.content["m.relates_to"];
  if (typeof relation !== "object" || relation === null) return undefined;
  const { rel_type: relType, event_id: target } = relation as Json;
  return typeof relType === "string" && typeof target === "string" ? { relType, eventId: named(target) } : undefined;
}

/** F3. The root of the thread that an event says it is in. */
export function threadRootOf(event: MatrixEvent): EventId | undefined {
  const relation = relationOf(event);
  return relation?.relType === "m.thread" && relation.eventId !== event.event_id ? relation.eventId : undefined;
}

/** The event that this one redacts. Since room version 11 it is named in `content`. */
export function redactedBy(event: MatrixEvent): EventId | undefined {
  if (event.type !== "m.room.redaction") return undefined;
  if (event.redacts !== undefined) return event.redacts;
  return typeof event.content.redacts === "string" ? named(event.content.redacts) : undefined;
}

/** F13. Whether the event can make a room unread for others: not state, an edit, a reaction or a redaction. */
export function countsAsUnread(event: MatrixEvent): boolean {
  if (event.state_key !== undefined || event.type === "m.reaction" || event.type === "m.room.redaction") return false;
  const relType = relationOf(event)?.relType;
  return relType !== "m.replace" && relType !== "m.annotation";
}

/** What survives a redaction, by type (Matrix specification, room version 11, "Redactions"). */
const REDACTION_KEEPS: Readonly<Record<string, readonly string[]>> = {
  "m.room.member": ["membership", "join_authorised_via_users_server"],
  "m.room.join_rules": ["join_rule", "allow"],
  "m.room.power_levels": [
    "ban",
    "events",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
  ],
  "m.room.history_visibility": ["history_visibility"],
  "m.room.redaction": ["redacts"],
};

/** The event without what a redaction takes from it. The creation event keeps all its content. */
export function redacted(event: MatrixEvent, because: MatrixEvent): MatrixEvent {
  const unsigned = { redacted_because: because };
  if (event.type === "m.room.create") return { ...event, unsigned };
  const keys = Object.hasOwn(REDACTION_KEEPS, event.type) ? (REDACTION_KEEPS[event.type] ?? []) : [];
  const content: Json = {};
  for (const key of keys) if (Object.hasOwn(event.content, key)) content[key] = event.content[key];
  return { ...event, content, unsigned };
}
