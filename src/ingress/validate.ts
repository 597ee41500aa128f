/**
 * Decoded requests for one room → entries of the log (docs/design.md#requests). An invalid request becomes an error that names
 * the field and the reason; nothing of it is appended.
 */
import type * as z from "zod";
import { BACKFILLED, type Entry, LIVE, RECEIPT, STATE, UNKNOWN_THREAD } from "../../actors/entry.ts";
import { fittedEvent } from "../bus/contract/event-size.ts";
import type { OnPruned } from "../bus/contract/pruning.ts";
import { REQUESTS } from "../bus/contract/requests.ts";
import { TidemarkError } from "../errors.ts";
import { ENTRIES_PER_RECORD_MAX, EVENT_BYTES_MAX } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";

/** An event's JSON is at most this many times as long as its request (a control character is escaped as six). */
const JSON_GROWTH_MAX = 6;

const EVENT_KINDS = { event: LIVE, backfill: BACKFILLED, state: STATE } as const;

export interface Request {
  readonly value: unknown;
  /** The size of the encoded request. */
  readonly bytes: number;
  /** Time of arrival by the clock of ingress: Unix time in ms. */
  readonly at: number;
}

/**
 * `tidemark.in.event`, `.backfill`, `.state`: one event, or an array. An event that is too large loses what the fold doesn't
 * read.
 */
export function eventEntries(
  kind: keyof typeof EVENT_KINDS,
  room: RoomId,
  { value, bytes }: Request,
  onPruned: OnPruned,
): Entry[] {
  return items(value).map((item, index) => {
    const event = parse<MatrixEvent>(REQUESTS[kind].item, item, index, value);
    if (event.room_id !== undefined && event.room_id !== room) {
      throw new TidemarkError("M_INVALID_PARAM", "room_id: is not the room of the subject", at(index, value));
    }
    const stored = bytes * JSON_GROWTH_MAX > EVENT_BYTES_MAX ? fittedEvent(event, onPruned) : event;
    return [EVENT_KINDS[kind], stored];
  });
}

/** `tidemark.in.receipt`: one receipt of a local user, or an array. */
export function receiptEntries({ value, at: arrived }: Request): Entry[] {
  return items(value).map((item, index) => {
    const receipt = parse(REQUESTS.receipt.item, item, index, value);
    return [
      RECEIPT,
      receipt.user_id,
      receipt.receipt_type,
      receipt.event_id,
      receipt.thread_known === false ? UNKNOWN_THREAD : (receipt.thread_id ?? null),
      receipt.ts ?? arrived,
      null,
    ];
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
