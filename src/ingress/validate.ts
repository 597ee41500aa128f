/**
 * Decoded requests → entries of the log (docs/design.md#requests). An invalid request becomes an error that names the field and the
 * reason; nothing of it is appended.
 */
import type * as z from "zod";
import { BACKFILLED, type Entry, LIVE, RECEIPT, type ReceiptEntry, STATE, UNKNOWN_THREAD } from "../../actors/entry.ts";
import { fittedEvent } from "../bus/contract/event-size.ts";
import type { OnPruned } from "../bus/contract/pruning.ts";
import type { EduRejection } from "../bus/contract/replies.ts";
import { REQUESTS } from "../bus/contract/requests.ts";
import { TidemarkError } from "../errors.ts";
import { ENTRIES_PER_RECORD_MAX, EVENT_BYTES_MAX, ID_CHARS_MAX } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { type RoomId, roomId, type ServerName, serverOf, userId } from "../matrix/ids.ts";
import { sentEduItem } from "../matrix/receipt-edu.ts";
import { isFederated, READ, typesOf } from "../matrix/receipt-types.ts";

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

interface EduRecord {
  readonly room: RoomId;
  readonly entries: readonly ReceiptEntry[];
  /** Its share of the request's size. */
  readonly bytes: number;
}

/**
 * `tidemark.in.edu`: the content of one `m.receipt` EDU (Matrix specification, server-server API, "Receipts"). An item
 * that is malformed, private, or not of the origin's own users is dropped, and its neighbours are not.
 */
export function eduRecords(
  origin: ServerName,
  { value, bytes }: Request,
): { readonly records: readonly EduRecord[]; readonly rejected: EduRejection[] } {
  if (!isObject(value)) throw new TidemarkError("M_INVALID_PARAM", "content: must be an object of rooms");
  const rooms = new Map<RoomId, ReceiptEntry[]>();
  const rejected: EduRejection[] = [];
  let accepted = 0;

  for (const [room, type, user, item] of eduItems(value)) {
    const result = eduEntry(origin, room, type, user, item);
    if (typeof result === "string") {
      rejected.push({ room_id: shortened(room), user_id: shortened(user), reason: result });
      continue;
    }
    accepted++;
    const [id, entry] = result;
    const entries = rooms.get(id);
    if (entries === undefined) rooms.set(id, [entry]);
    else entries.push(entry);
  }

  const records: EduRecord[] = [];
  for (const [room, all] of rooms) {
    for (let from = 0; from < all.length; from += ENTRIES_PER_RECORD_MAX) {
      const entries = all.slice(from, from + ENTRIES_PER_RECORD_MAX);
      records.push({ room, entries, bytes: Math.ceil((bytes * entries.length) / accepted) });
    }
  }
  return { records, rejected };
}

/** The items of an EDU. One item stands for a value that should be a map of users and is not. */
function* eduItems(content: Record<string, unknown>): Generator<readonly [string, string, string, unknown]> {
  for (const [room, types] of Object.entries(content)) {
    if (!isObject(types)) yield [room, READ, "", types];
    else {
      for (const [type, users] of Object.entries(types)) {
        if (!isObject(users)) yield [room, type, "", users];
        else for (const [user, item] of Object.entries(users)) yield [room, type, user, item];
      }
    }
  }
}

/** The room and the entry, or the reason why the item is dropped. */
function eduEntry(
  origin: ServerName,
  room: string,
  type: string,
  user: string,
  item: unknown,
): readonly [RoomId, ReceiptEntry] | string {
  const roomResult = roomId.safeParse(room);
  if (!roomResult.success) return `room_id: ${reasonIn(roomResult.error)}`;
  if (!isFederated(type)) return `receipt_type: only ${typesOf(isFederated)} crosses federation`;
  const userResult = userId.safeParse(user);
  if (!userResult.success) return `user_id: ${reasonIn(userResult.error)}`;
  if (serverOf(userResult.data) !== origin) return `user_id: is not a user of ${origin}`;
  const receipt = sentEduItem.safeParse(item);
  if (!receipt.success) return reasonIn(receipt.error);
  const { event_ids, data } = receipt.data;
  const entry: ReceiptEntry = [RECEIPT, userResult.data, type, event_ids[0], data.thread_id ?? null, data.ts, origin];
  return [roomResult.data, entry];
}

/** A foreign string in a reply: cut to the length of an id, and well-formed. */
function shortened(text: string): string {
  return text.slice(0, ID_CHARS_MAX).toWellFormed();
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
function reasonIn(error: z.ZodError): string {
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
