/**
 * Filters of `/sync` and `/messages` as clients send them (Matrix specification, "Filtering"): the fields that affect
 * what Tidemark serves, and one form for all filters that mean the same.
 */
import * as z from "zod";
import { FILTER_LIST_MAX, FILTER_WILDCARDS_MAX } from "../limits.ts";
import { wildcardsIn } from "./type-patterns.ts";

/** Bounded by the bytes of the filter alone: a client may name all of its rooms. */
const rooms = z.array(z.string()).nullish();
const users = z.array(z.string()).max(FILTER_LIST_MAX).nullish();
const types = z
  .array(z.string())
  .max(FILTER_LIST_MAX)
  .refine((patterns) => wildcardsIn(patterns) <= FILTER_WILDCARDS_MAX, {
    error: `Too many wildcards: expected at most ${FILTER_WILDCARDS_MAX}`,
  })
  .nullish();
const flag = z.boolean().nullish();

const eventFilterSchema = z.object({
  types,
  not_types: types,
  senders: users,
  not_senders: users,
  limit: z.int().min(0).nullish(),
  rooms,
  not_rooms: rooms,
  unread_thread_notifications: flag,
  lazy_load_members: flag,
});

export const filterSchema = z.object({
  account_data: eventFilterSchema.nullish(),
  room: z
    .object({
      rooms,
      not_rooms: rooms,
      include_leave: flag,
      timeline: eventFilterSchema.nullish(),
      state: eventFilterSchema.nullish(),
      ephemeral: eventFilterSchema.nullish(),
      account_data: eventFilterSchema.nullish(),
    })
    .nullish(),
});

/** The fields of a filter that say something. */
export type FilterDefinition = z.infer<typeof filterSchema>;
export type EventFilterDefinition = z.infer<typeof eventFilterSchema>;

/**
 * Returns the same definition for filters that mean the same: keys and lists are sorted, repeated entries are dropped,
 * and so is what is the default (null, false, an object without fields).
 */
export function canonical(definition: FilterDefinition): FilterDefinition {
  return (canonicalValue(definition) ?? {}) as FilterDefinition;
}

function canonicalValue(value: unknown): unknown {
  if (value === null || value === false) return undefined;
  if (Array.isArray(value)) return [...new Set(value as readonly string[])].sort();
  if (typeof value !== "object") return value;
  const fields = Object.entries(value)
    .map(([key, field]) => [key, canonicalValue(field)] as const)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return fields.length === 0 ? undefined : Object.fromEntries(fields);
}
