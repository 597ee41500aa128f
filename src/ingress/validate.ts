/**
 * Decoded requests for one room → entries of the log (docs/design.md#requests). An invalid request becomes an error that names
 * the field and the reason; nothing of it is appended.
 */
import type * as z from "zod";
import {
  BACKFILLED,
  type Entry,
  HISTORY,
  LIVE,
  type Position,
  RECEIPT,
  STATE,
  UNKNOWN_THREAD,
} from "../../actors/entry.ts";
import { fittedEvent } from "../bus/contract/event-size.ts";
import type { OnPruned } from "../bus/contract/pruning.ts";
import { eventsAfter, REQUESTS, type RequestKind, stateAsOf } from "../bus/contract/requests.ts";
import { TidemarkError } from "../errors.ts";
import { ENTRIES_PER_RECORD_MAX, EVENT_BYTES_MAX } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { type RoomId, serverOf } from "../matrix/ids.ts";

/** An event's JSON is at most this many times as long as its request (a control character is escaped as six). */
const JSON_GROWTH_MAX = 6;

const EVENT_KINDS = { event: LIVE, history: HISTORY, backfill: BACKFILLED, state: STATE } as const;

export interface Request {
  readonly value: unknown;
  /** The size of the encoded request. */
  readonly bytes: number;
  /** Time of arrival by the clock of ingress: Unix time in ms. */
  readonly at: number;
}

/**
 * `tidemark.in.event`, `.history`, `.backfill`, `.state`: one event, or an array; for state also `{ events, as_of }`, for history and
 * backfill `{ events, after }`. An event that is too large loses what the fold doesn't read.
 */
export function eventEntries(
  kind: keyof typeof EVENT_KINDS,
  room: RoomId,
  request: Request,
  onPruned: OnPruned,
): Entry[] {
  if (kind === "event" || !isWrapped(request.value)) {
    return eventsIn(kind, room, request, onPruned).map((event) => [EVENT_KINDS[kind], event]);
  }
  const { events, as_of } = request.value;
  if (!Array.isArray(events)) {
    const what = kind === "state" ? "state events" : "events";
    throw new TidemarkError("M_INVALID_PARAM", `events: must be an array of ${what}`);
  }
  const inside = eventsIn(kind, room, { ...request, value: events }, onPruned);
  if (kind !== "state") return inside.map((event) => [EVENT_KINDS[kind], event]);
  const asOf = field("as_of", stateAsOf.shape.as_of, as_of); // F10
  return inside.map((event) => [STATE, event, asOf]);
}

/** The position after which nothing of the room may have come; undefined if the request doesn't say one. */
export function afterIn(kind: RequestKind, value: unknown): Position | undefined {
  if ((kind !== "history" && kind !== "backfill") || !isWrapped(value)) return undefined;
  return field("after", eventsAfter.shape.after, value.after);
}

interface Wrapped {
  readonly events: unknown;
  readonly as_of?: unknown;
  readonly after?: unknown;
}

/** An event may have any keys of its own, but it has an id. */
function isWrapped(value: unknown): value is Wrapped {
  return isObject(value) && Object.hasOwn(value, "events") && !Object.hasOwn(value, "event_id");
}

function field<T>(name: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new TidemarkError("M_INVALID_PARAM", `${name}: ${reasonIn(result.error)}`);
}

function eventsIn(
  kind: keyof typeof EVENT_KINDS,
  room: RoomId,
  { value, bytes }: Request,
  onPruned: OnPruned,
): MatrixEvent[] {
  return items(value).map((item, index) => {
    const event = parse<MatrixEvent>(REQUESTS[kind].item, item, index, value);
    if (event.room_id !== undefined && event.room_id !== room) {
      throw new TidemarkError("M_INVALID_PARAM", "room_id: is not the room of the subject", at(index, value));
    }
    return bytes * JSON_GROWTH_MAX > EVENT_BYTES_MAX ? fittedEvent(event, onPruned) : event;
  });
}

/** `tidemark.in.receipt`: one receipt of a local user, or one that a homeserver passes on, or an array. */
export function receiptEntries({ value, at: arrived }: Request): Entry[] {
  return items(value).map((item, index) => {
    const receipt = parse(REQUESTS.receipt.item, item, index, value);
    const { user_id: user, receipt_type: type, event_id: event, accepted } = receipt;
    const thread = receipt.thread_known === false ? UNKNOWN_THREAD : (receipt.thread_id ?? null);
    const ts = receipt.ts ?? arrived;
    if (receipt.remote === true) return [RECEIPT, user, type, event, thread, ts, serverOf(user), true];
    return accepted === true
      ? [RECEIPT, user, type, event, thread, ts, null, accepted]
      : [RECEIPT, user, type, event, thread, ts, null];
  });
}

function items(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) return [value];
  if (value.length === 0) throw new TidemarkError("M_INVALID_PARAM", "the array is empty");
  if (value.length > ENTRIES_PER_RECORD_MAX) {
    throw new TidemarkError(
      "M_TOO_LARGE",
      `the array has ${value.length} items, at most ${ENTRIES_PER_RECORD_MAX} are allowed`,
    );
  }
  return value;
}

function parse<T>(schema: z.ZodType<T>, item: unknown, index: number, request: unknown): T {
  const result = schema.safeParse(item);
  if (result.success) return result.data;
  throw new TidemarkError("M_INVALID_PARAM", reasonIn(result.error), at(index, request));
}

/** The field and the reason of the first fault. */
export function reasonIn(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "is not valid";
  const field = issue.path.map(String).join(".");
  return field === "" ? issue.message : `${field}: ${issue.message}`;
}

/** The index of an item, if the request was an array. */
function at(index: number, request: unknown): { index?: number } {
  return Array.isArray(request) ? { index } : {};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
