/** Room events as a homeserver hands them over, and what Tidemark reads in them. */
import * as z from "zod";
import { ID_CHARS_MAX } from "../limits.ts";
import { isEventId, isName } from "./id-grammar.ts";
import { type EventId, eventId, roomId, userId } from "./ids.ts";
import { withoutNulls } from "./optional.ts";

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
    .transform((text) => text.toWellFormed())
    .refine(isName, { error: `must be at most ${ID_CHARS_MAX} characters` });

const MILLISECONDS = "Unix time in milliseconds.";

/** As Tidemark stores and publishes it. */
export const timestamp = z.int({ error: "must be an integer of milliseconds" }).meta({ description: MILLISECONDS });

/** As others send it: any number. Homeservers don't check what other servers say, so it is rounded down and clamped. */
export const sentTimestamp = z
  .custom<number>((value) => typeof value === "number", { error: "must be a number of milliseconds" })
  .transform((ms) => Math.min(Math.max(Math.floor(ms) || 0, 0), Number.MAX_SAFE_INTEGER))
  .meta({ type: "number", description: `${MILLISECONDS} Rounded down, and clamped to 0 … 2^53 - 1.` });

/** What names no event is as if absent: homeservers pass on what other servers send. */
const redacts = z
  .custom<string | null>(() => true)
  .transform((value) => (typeof value === "string" && isEventId(value) ? (value as EventId) : null))
  .optional()
  .meta({ description: "An event id. Anything else counts as absent." });

const sentEvent = z.object(
  {
    event_id: eventId,
    type: name("an event type"),
    sender: userId,
    origin_server_ts: sentTimestamp,
    content: object,
    state_key: name("a state key").nullish(),
    redacts,
    unsigned: object.nullish(),
    room_id: roomId.nullish(),
  },
  { error: "must be an event (an object)" },
);

/** A room event as homeservers have it, with the keys that Tidemark stores. Others are dropped. */
export const matrixEvent = sentEvent
  .transform(withoutNulls)
  .meta({ id: "Event", description: "A room event as a homeserver has it. Other keys are dropped." });

/** An event that is part of a room's state. */
export const stateEvent = sentEvent
  .extend({
    state_key: name("a state key", ({ input }) =>
      input === undefined || input === null ? "is missing, so this is no state event" : "must be a state key",
    ),
  })
  .transform(withoutNulls)
  .meta({ id: "StateEvent", description: "A room event with a `state_key`. Other keys are dropped." });

/** A room event as Tidemark stores it. */
export const storedEvent = z
  .object({
    event_id: eventId,
    type: z.string(),
    sender: userId,
    origin_server_ts: timestamp,
    content: object,
    state_key: z.string().optional(),
    redacts: eventId.optional(),
    unsigned: object.optional(),
    room_id: roomId.optional(),
  })
  .meta({ id: "StoredEvent", description: "A room event." });

export type MatrixEvent = z.infer<typeof storedEvent>;

export type StateEvent = MatrixEvent & { readonly state_key: string };

export function isState(event: MatrixEvent): event is StateEvent {
  return event.state_key !== undefined;
}

/** An event as Tidemark publishes it: with its order (MSC4033). */
export const orderedEvent = storedEvent.extend({ unsigned: z.looseObject({ order: z.int() }) }).meta({
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

/** The event without what a redaction, or an erasure, takes from it. The creation event keeps all its content. */
export function redacted(event: MatrixEvent, because?: MatrixEvent): MatrixEvent {
  const unsigned = because === undefined ? {} : { redacted_because: because };
  if (event.type === "m.room.create") return { ...event, unsigned };
  const keys = Object.hasOwn(REDACTION_KEEPS, event.type) ? (REDACTION_KEEPS[event.type] ?? []) : [];
  const content: Json = {};
  for (const key of keys) if (Object.hasOwn(event.content, key)) content[key] = event.content[key];
  return { ...event, content, unsigned };
}
