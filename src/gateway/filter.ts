/**
 * Filters of `/sync` and `/messages` (Matrix specification, "Filtering"): the fields that affect what Tidemark serves.
 *
 * The id of a filter is the compressed filter itself. So every gateway knows every filter without storing any.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { badJson, invalidParam, notFound } from "../http/matrix-error.ts";
import { FILTER_BYTES_MAX, TIMELINE_EVENTS_MAX } from "../limits.ts";

/** Parsed filters that are cached. */
const FILTERS_CACHED_MAX = 1_000;

const names = z.array(z.string()).nullish();
const limit = z.int().min(0).nullish();

const eventFilterSchema = z.object({ types: names, not_types: names, senders: names, not_senders: names, limit });
const roomEventFilterSchema = eventFilterSchema.extend({
  rooms: names,
  not_rooms: names,
  unread_thread_notifications: z.boolean().nullish(),
});
const filterSchema = z.object({
  room: z
    .object({
      rooms: names,
      not_rooms: names,
      include_leave: z.boolean().nullish(),
      timeline: roomEventFilterSchema.nullish(),
      state: roomEventFilterSchema.nullish(),
      ephemeral: roomEventFilterSchema.nullish(),
      account_data: roomEventFilterSchema.nullish(),
    })
    .nullish(),
});

export type Filter = z.infer<typeof filterSchema>;
export type EventFilter = z.infer<typeof eventFilterSchema> & {
  rooms?: string[] | null | undefined;
  not_rooms?: string[] | null | undefined;
};

/** Parses the filter that a client sent. Throws `M_BAD_JSON`. */
export function parseFilter(value: unknown): Filter {
  const result = filterSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw badJson(`filter: ${issue?.path.map(String).join(".")}: ${issue?.message}`);
}

export function filterId(value: Filter): string {
  const packed = deflateRawSync(JSON.stringify(value));
  if (packed.length > FILTER_BYTES_MAX) throw badJson("filter: is too large");
  return packed.toString("base64url");
}

/** Unpacks a filter from its id. Throws `M_NOT_FOUND` if the id is malformed. */
export function filterOf(id: string): Filter {
  try {
    const json = inflateRawSync(Buffer.from(id, "base64url"), { maxOutputLength: FILTER_BYTES_MAX * 16 });
    return filterSchema.parse(JSON.parse(json.toString()));
  } catch {
    throw notFound("No such filter");
  }
}

const NO_FILTER: Filter = {};
const parsed = new LRUCache<string, Filter>({ max: FILTERS_CACHED_MAX });

/** Parses the `filter` parameter: a filter as JSON, or the id of one. The same text returns the same cached object. */
export function filterParam(text: string | undefined): Filter {
  if (text === undefined || text === "") return NO_FILTER;
  let cached = parsed.get(text);
  if (cached === undefined) {
    cached = readFilter(text);
    parsed.set(text, cached);
  }
  return cached;
}

function readFilter(text: string): Filter {
  if (!text.startsWith("{")) {
    try {
      return filterOf(text);
    } catch {
      throw invalidParam("filter: is neither JSON nor the id of a filter");
    }
  }
  return parseFilter(parseJson(text));
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidParam("filter: is not JSON");
  }
}

/** Returns the maximum number of timeline events. */
export function timelineLimit(filter: EventFilter | null | undefined, defaultLimit: number): number {
  return Math.min(filter?.limit ?? defaultLimit, TIMELINE_EVENTS_MAX);
}

interface FilteredEvent {
  readonly type: string;
  readonly sender?: string;
}

/** Whether the filter lets an event pass. In types, `*` matches any number of characters. */
export function passes(filter: EventFilter | null | undefined, event: FilteredEvent): boolean {
  if (filter == null) return true;
  if (filter.types != null && !filter.types.some((type) => matches(type, event.type))) return false;
  if (filter.not_types?.some((type) => matches(type, event.type))) return false;
  if (event.sender === undefined) return true;
  if (filter.senders != null && !filter.senders.includes(event.sender)) return false;
  return !filter.not_senders?.includes(event.sender);
}

export function roomPasses(filter: Pick<EventFilter, "rooms" | "not_rooms"> | null | undefined, room: string): boolean {
  if (filter == null) return true;
  return (filter.rooms == null || filter.rooms.includes(room)) && !filter.not_rooms?.includes(room);
}

function matches(pattern: string, type: string): boolean {
  const [first, ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === type;
  if (!type.startsWith(first!)) return false;
  const last = rest.pop()!;
  let at = first!.length;
  for (const part of rest) {
    const found = type.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return type.length - at >= last.length && type.endsWith(last);
}
