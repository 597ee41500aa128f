/** Room events as a homeserver hands them over, and what Tidemark reads in them. */
import * as z from "zod";
import { ID_BYTES_MAX } from "../limits.ts";
import { utf8Bytes } from "./id-grammar.ts";
import { eventId, roomId, userId } from "./ids.ts";

type Json = Record<string, unknown>;

/** Kept as it came: its depth, numbers and keys were checked when it was decoded. */
const object = z
  .custom<Json>((value) => typeof value === "object" && value !== null && !Array.isArray(value), {
    error: "must be an object",
  })
  .meta({ type: "object" });

const name = (what: string, error: z.core.$ZodErrorMap | string = `must be ${what}`) =>
  z
    .string({ error })
    .refine((text) => utf8Bytes(text) <= ID_BYTES_MAX, { error: `must be at most ${ID_BYTES_MAX} bytes` });

/** Milliseconds since 1970. Servers disagree about the past, so only the type is checked. */
export const timestamp = z
  .int({ error: "must be an integer of milliseconds" })
  .meta({ description: "Unix time in milliseconds." });

/** A room event as homeservers have it, with the keys that Tidemark stores. Others are dropped. */
export const matrixEvent = z
  .object(
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
  )
  .meta({ id: "Event", description: "A room event as a homeserver has it. Other keys are dropped." });

export type MatrixEvent = z.infer<typeof matrixEvent>;

/** An event that is part of a room's state. */
export const stateEvent = matrixEvent
  .extend({
    state_key: name("a state key", ({ input }) =>
      input === undefined ? "is missing, so this is no state event" : "must be a state key",
    ),
  })
  .meta({ id: "StateEvent", description: "A room event with a `state_key`. Other keys are dropped." });

export type StateEvent = z.infer<typeof stateEvent>;

export function isState(event: MatrixEvent): event is StateEvent {
  return event.state_key !== undefined;
}

/** An event as Tidemark publishes it: with its order (MSC4033). */
export const orderedEvent = matrixEvent.extend({ unsigned: z.looseObject({ order: z.int() }) }).meta({
  id: "OrderedEvent",
  description: "An event with `unsigned.order`: MSC4033's order, by which it is compared.",
});

export type OrderedEvent = z.infer<typeof orderedEvent>;

export function withOrder(event: MatrixEvent, order: number): OrderedEvent {
  return { ...event, unsigned: { ...event.unsigned, order } };
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
