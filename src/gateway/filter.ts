/**
 * Filters of `/sync` and `/messages` (Matrix specification, "Filtering"); the parts that change what Tidemark serves.
 *
 * The id of a filter is the filter itself, packed: so every gateway knows every filter, and none has to be kept.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { badJson, invalidParam, notFound } from "../http/matrix-error.ts";
import { FILTER_BYTES_MAX, FILTERS_CACHED_MAX, TIMELINE_EVENTS_MAX } from "../limits.ts";

const names = z.array(z.string()).nullish();
const limit = z.int().min(0).nullish();

const eventFilter = z.object({ types: names, not_types: names, senders: names, not_senders: names, limit });
const roomEventFilter = eventFilter.extend({
  rooms: names,
  not_rooms: names,
  unread_thread_notifications: z.boolean().nullish(),
});
const filter = z.object({
  room: z
    .object({
      rooms: names,
      not_rooms: names,
      include_leave: z.boolean().nullish(),
      timeline: roomEventFilter.nullish(),
      state: roomEventFilter.nullish(),
      ephemeral: roomEventFilter.nullish(),
      account_data: roomEventFilter.nullish(),
    })
    .nullish(),
});

export type Filter = z.infer<typeof filter>;
export type EventFilter = z.infer<typeof eventFilter> & {
  rooms?: string[] | null | undefined;
  not_rooms?: string[] | null | undefined;
};

/** A filter as a client sent it. Throws `M_BAD_JSON`. */
export function parseFilter(value: unknown): Filter {
  const result = filter.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw badJson(`filter: ${issue?.path.map(String).join(".")}: ${issue?.message}`);
}

export function filterId(value: Filter): string {
  const packed = deflateRawSync(JSON.stringify(value));
  if (packed.length > FILTER_BYTES_MAX) throw badJson("filter: is too large");
  return packed.toString("base64url");
}

/** Throws `M_NOT_FOUND` for what no gateway made. */
export function filterOf(id: string): Filter {
  try {
    const json = inflateRawSync(Buffer.from(id, "base64url"), { maxOutputLength: FILTER_BYTES_MAX * 16 });
    return filter.parse(JSON.parse(json.toString()));
  } catch {
    throw notFound("No such filter");
  }
}

const NO_FILTER: Filter = {};
const parsed = new LRUCache<string, Filter>({ max: FILTERS_CACHED_MAX });

/** The `filter` parameter: a filter as JSON, or the id of one. The same text is the same object, so long as it is in use. */
export function filterParam(text: string | undefined): Filter {
  if (text === undefined || text === "") return NO_FILTER;
  let found = parsed.get(text);
  if (found === undefined) {
    found = readFilter(text);
    parsed.set(text, found);
  }
  return found;
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

/** How many events a timeline may have. */
export function timelineLimit(wanted: EventFilter | null | undefined, usual: number): number {
  return Math.min(wanted?.limit ?? usual, TIMELINE_EVENTS_MAX);
}

interface Filtered {
  readonly type: string;
  readonly sender?: string;
}

/** Whether an event passes. A type may have `*` for any run of characters. */
export function passes(wanted: EventFilter | null | undefined, event: Filtered): boolean {
  if (wanted == null) return true;
  if (wanted.types != null && !wanted.types.some((type) => matches(type, event.type))) return false;
  if (wanted.not_types?.some((type) => matches(type, event.type))) return false;
  if (event.sender === undefined) return true;
  if (wanted.senders != null && !wanted.senders.includes(event.sender)) return false;
  return !wanted.not_senders?.includes(event.sender);
}

export function roomPasses(wanted: Pick<EventFilter, "rooms" | "not_rooms"> | null | undefined, room: string): boolean {
  if (wanted == null) return true;
  return (wanted.rooms == null || wanted.rooms.includes(room)) && !wanted.not_rooms?.includes(room);
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
