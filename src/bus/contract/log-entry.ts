/**
 * What an entry of the log is (docs/design.md#records), for records and for exported logs alike: what ingress makes of a
 * valid request. The fold, the store and whoever publishes rely on it. A log can be written by others, and a file by anybody.
 *
 * By hand rather than by schema: every entry comes through here before it is folded. Nothing here does I/O or needs Node,
 * so that the inspector's page reads files too.
 */
import {
  BACKFILLED,
  type Entry,
  ERASURE,
  HISTORY,
  LIVE,
  ORDER_MAX,
  RECEIPT,
  STATE,
  UNKNOWN_THREAD,
} from "../../../actors/entry.ts";
import { ERASED_EVENTS_MAX, EVENT_BYTES_MAX } from "../../limits.ts";
import { type MatrixEvent, storedEvent } from "../../matrix/event.ts";
import { isEventId, isName, isRoomId, isServerName, isUserId, MAIN } from "../../matrix/id-grammar.ts";
import { isThreaded, RECEIPT_TYPES, type ReceiptType } from "../../matrix/receipt-types.ts";
import { prunedEvent } from "./pruning.ts";

/** Items of a receipt. To take them apart by an iterator would cost each of them. */
const [USER, TYPE, EVENT, THREAD, TS, ORIGIN, ACCEPTED] = [1, 2, 3, 4, 5, 6, 7] as const;
const RECEIPT_ITEMS = 7;
/** Item of an event that may follow it: an imported event's order, or the `as_of` of state. */
const EVENT_ORDER = 2;

/** Doesn't look into the content of an event: ingress has pruned it, and bytes of the log are its own. */
export function isEntry(entry: unknown): entry is Entry {
  if (!Array.isArray(entry)) return false;
  const kind: unknown = entry[0];
  if (kind === RECEIPT) return isReceipt(entry);
  if (kind === ERASURE) return isErasure(entry);
  if (!isEvent(entry[1])) return false;
  if (kind === STATE) return entry[1].state_key !== undefined && isOptionalOrder(entry, (order) => order >= 0);
  if (kind !== LIVE && kind !== BACKFILLED && kind !== HISTORY) return false;
  return isOptionalOrder(entry, (order) => order !== 0 && Math.abs(order) <= ORDER_MAX);
}

/** The same for an entry of a file: whoever wrote that may not have pruned its event, or made it fit. */
export function isWholeEntry(entry: unknown): entry is Entry {
  if (!isEntry(entry)) return false;
  if (entry[0] === RECEIPT || entry[0] === ERASURE) return true;
  const event = entry[1];
  return hasStoredKeys(event) && prunedEvent(event, 0, () => {}) === event && hasStoredSize(event);
}

const STORED_KEYS: ReadonlySet<string> = new Set(Object.keys(storedEvent.shape));

function hasStoredKeys(event: MatrixEvent): boolean {
  for (const key of Object.keys(event)) if (!STORED_KEYS.has(key)) return false;
  return true;
}

/** The most bytes of UTF-8 that a unit of UTF-16 needs. */
const BYTES_PER_UNIT = 3;

function hasStoredSize(event: MatrixEvent): boolean {
  const json = JSON.stringify(event);
  if (json.length * BYTES_PER_UNIT <= EVENT_BYTES_MAX) return true;
  return new TextEncoder().encode(json).length <= EVENT_BYTES_MAX;
}

function isReceipt(entry: readonly unknown[]): boolean {
  const { [USER]: user, [TYPE]: type, [EVENT]: event, [THREAD]: thread, [TS]: ts, [ORIGIN]: origin } = entry;
  return (
    (entry.length === RECEIPT_ITEMS || (entry.length === RECEIPT_ITEMS + 1 && entry[ACCEPTED] === true)) &&
    typeof user === "string" &&
    isUserId(user) &&
    (RECEIPT_TYPES as readonly unknown[]).includes(type) &&
    typeof event === "string" &&
    isEventId(event) &&
    isThreadOf(type as ReceiptType, thread) &&
    isTime(ts) &&
    (origin === null || (typeof origin === "string" && isServerName(origin)))
  );
}

function isErasure([, user, before, events, ...rest]: readonly unknown[]): boolean {
  return (
    rest.length === 0 &&
    typeof user === "string" &&
    isUserId(user) &&
    isTime(before) &&
    Array.isArray(events) &&
    events.length <= ERASED_EVENTS_MAX &&
    events.every((id) => typeof id === "string" && isEventId(id))
  );
}

function isThreadOf(type: ReceiptType, thread: unknown): boolean {
  if (thread === null || thread === UNKNOWN_THREAD) return true;
  return typeof thread === "string" && isThreaded(type) && (thread === MAIN || isEventId(thread));
}

function isOptionalOrder(entry: readonly unknown[], fits: (order: number) => boolean): boolean {
  if (entry.length === EVENT_ORDER) return true;
  const order = entry[EVENT_ORDER];
  return entry.length === EVENT_ORDER + 1 && Number.isSafeInteger(order) && fits(order as number);
}

function isEvent(event: unknown): event is Readonly<Record<string, unknown>> {
  if (!isObject(event)) return false;
  const { event_id, type, sender, origin_server_ts, content, state_key, redacts, unsigned, room_id } = event;
  return (
    typeof event_id === "string" &&
    isEventId(event_id) &&
    isText(type) &&
    typeof sender === "string" &&
    isUserId(sender) &&
    isTime(origin_server_ts) &&
    isObject(content) &&
    (state_key === undefined || isText(state_key)) &&
    (redacts === undefined || (typeof redacts === "string" && isEventId(redacts))) &&
    (unsigned === undefined || isObject(unsigned)) &&
    (room_id === undefined || (typeof room_id === "string" && isRoomId(room_id)))
  );
}

function isText(value: unknown): boolean {
  return typeof value === "string" && isName(value);
}

function isTime(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
