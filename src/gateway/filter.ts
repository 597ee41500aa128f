/**
 * Filters of `/sync` and `/messages`, ready to use. Filters that mean the same are one object, which is what answers are
 * cached by.
 *
 * The id of a filter is the compressed filter itself. So every gateway knows every filter without storing any.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { LRUCache } from "lru-cache";
import { badJson, invalidParam, notFound } from "../http/matrix-error.ts";
import { FILTER_BYTES_MAX, FILTERS_CACHED_BYTES_MAX, HTTP_BODY_BYTES_MAX, TIMELINE_EVENTS_MAX } from "../limits.ts";
import { canonical, type EventFilterDefinition, type FilterDefinition, filterSchema } from "./filter-schema.ts";
import { TypePatterns } from "./type-patterns.ts";

type Lists = "types" | "not_types" | "senders" | "not_senders" | "rooms" | "not_rooms";

interface RoomLists {
  readonly rooms?: ReadonlySet<string> | undefined;
  readonly not_rooms?: ReadonlySet<string> | undefined;
}

/** A part of a filter, e.g. for the timeline. */
export interface EventFilter extends Omit<EventFilterDefinition, Lists>, RoomLists {
  readonly types?: TypePatterns | undefined;
  readonly not_types?: TypePatterns | undefined;
  readonly senders?: ReadonlySet<string> | undefined;
  readonly not_senders?: ReadonlySet<string> | undefined;
}

type RoomDefinition = NonNullable<FilterDefinition["room"]>;
type Parts = "timeline" | "state" | "ephemeral" | "account_data";
type RoomFilter = Omit<RoomDefinition, Parts | Lists> & RoomLists & { readonly [Part in Parts]?: EventFilter };

export interface Filter {
  /** Of what is not a room's. */
  readonly account_data?: EventFilter;
  readonly room?: RoomFilter;
}

/** Measured: the heap that a filter costs at most, for itself, each UTF-16 unit of its definition, and each pattern. */
const FILTER_COST_BYTES = 2_000;
const UNIT_COST_BYTES = 5;
const PATTERN_COST_BYTES = 100;

/** Prepared filters, by their canonical definition. */
const prepared = new LRUCache<string, Filter>({ maxSize: FILTERS_CACHED_BYTES_MAX });

/** Prepared filters, by what clients send: the id of a filter, or JSON. */
const received = new LRUCache<string, Filter>({
  maxSize: FILTERS_CACHED_BYTES_MAX,
  sizeCalculation: (_, text) => FILTER_COST_BYTES + 2 * text.length,
});

/** Parses the filter that a client sent. Throws `M_BAD_JSON`. */
export function parseFilter(value: unknown): Filter {
  return prepare(parseDefinition(value));
}

/** Returns the id of the filter that a client sent. Throws `M_BAD_JSON`. */
export function filterId(value: unknown): string {
  const packed = deflateRawSync(JSON.stringify(parseDefinition(value)));
  if (packed.length > FILTER_BYTES_MAX) throw badJson("filter: is too large");
  return packed.toString("base64url");
}

/** Unpacks the definition of a filter from its id. Throws `M_NOT_FOUND` if the id is malformed. */
export function filterOf(id: string): FilterDefinition {
  try {
    const json = inflateRawSync(Buffer.from(id, "base64url"), { maxOutputLength: HTTP_BODY_BYTES_MAX });
    return canonical(filterSchema.parse(JSON.parse(json.toString())));
  } catch {
    throw notFound("No such filter");
  }
}

const NO_FILTER: Filter = {};

/** Parses the `filter` parameter: a filter as JSON, or the id of one. */
export function filterParam(text: string | undefined): Filter {
  if (text === undefined || text === "") return NO_FILTER;
  let filter = received.get(text);
  if (filter === undefined) {
    filter = readFilter(text);
    received.set(text, filter);
  }
  return filter;
}

function readFilter(text: string): Filter {
  if (text.startsWith("{")) return parseFilter(parseJson(text));
  try {
    return prepare(filterOf(text));
  } catch {
    throw invalidParam("filter: is neither JSON nor the id of a filter");
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidParam("filter: is not JSON");
  }
}

function parseDefinition(value: unknown): FilterDefinition {
  const result = filterSchema.safeParse(value);
  if (result.success) return canonical(result.data);
  const issue = result.error.issues[0];
  throw badJson(`filter: ${issue?.path.map(String).join(".")}: ${issue?.message}`);
}

/** `definition`: canonical. */
function prepare(definition: FilterDefinition): Filter {
  const { room, account_data: global } = definition;
  if (room == null && global == null) return NO_FILTER;
  const key = JSON.stringify(definition);
  let filter = prepared.get(key);
  if (filter === undefined) {
    filter = {
      ...(global != null && { account_data: eventFilter(global) }),
      ...(room != null && { room: roomFilter(room) }),
    };
    const parts = [global, room?.timeline, room?.state, room?.ephemeral, room?.account_data];
    const patterns = parts.flatMap((part) => [part?.types, part?.not_types]).flat();
    const size = FILTER_COST_BYTES + UNIT_COST_BYTES * key.length + PATTERN_COST_BYTES * patterns.length;
    prepared.set(key, filter, { size });
  }
  return filter;
}

function roomFilter({
  rooms,
  not_rooms: notRooms,
  timeline,
  state,
  ephemeral,
  account_data: accountData,
  ...settings
}: RoomDefinition): RoomFilter {
  return {
    ...settings,
    rooms: setOf(rooms),
    not_rooms: setOf(notRooms),
    ...(timeline != null && { timeline: eventFilter(timeline) }),
    ...(state != null && { state: eventFilter(state) }),
    ...(ephemeral != null && { ephemeral: eventFilter(ephemeral) }),
    ...(accountData != null && { account_data: eventFilter(accountData) }),
  };
}

function eventFilter(definition: EventFilterDefinition): EventFilter {
  const { types, not_types: notTypes, senders, not_senders: notSenders, rooms, not_rooms: notRooms } = definition;
  return {
    ...definition,
    types: types == null ? undefined : new TypePatterns(types),
    not_types: notTypes == null ? undefined : new TypePatterns(notTypes),
    senders: setOf(senders),
    not_senders: setOf(notSenders),
    rooms: setOf(rooms),
    not_rooms: setOf(notRooms),
  };
}

function setOf(list: readonly string[] | null | undefined): ReadonlySet<string> | undefined {
  return list == null ? undefined : new Set(list);
}

/** Whether a filter keeps back events of some types or senders. */
export function isSelective(filter: EventFilter | undefined): boolean {
  const { types, not_types: notTypes, senders, not_senders: notSenders } = filter ?? {};
  return [types, notTypes, senders, notSenders].some((list) => list !== undefined);
}

/** Returns the maximum number of timeline events. */
export function timelineLimit(filter: EventFilter | undefined, defaultLimit: number): number {
  return Math.min(filter?.limit ?? defaultLimit, TIMELINE_EVENTS_MAX);
}

interface FilteredEvent {
  readonly type: string;
  readonly sender?: string;
}

/** Whether the filter lets an event pass. */
export function passes(filter: EventFilter | undefined, { type, sender }: FilteredEvent): boolean {
  if (filter === undefined) return true;
  if (filter.types?.matches(type) === false || filter.not_types?.matches(type)) return false;
  return sender === undefined || (filter.senders?.has(sender) !== false && !filter.not_senders?.has(sender));
}

export function roomPasses(filter: RoomLists | undefined, room: string): boolean {
  return filter?.rooms?.has(room) !== false && !filter?.not_rooms?.has(room);
}
