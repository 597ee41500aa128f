/**
 * What an entry of the log is (docs/design.md#records), for records and for exported logs alike.
 *
 * By hand rather than by schema: every entry comes through here before it is folded. It checks what the fold relies on.
 * Nothing here does I/O or needs Node, so that the inspector's page reads files too.
 */
import { BACKFILLED, type Entry, HISTORY, LIVE, RECEIPT, STATE } from "../../../actors/entry.ts";

/** Items of a receipt. To take them apart by an iterator would cost each of them. */
const [USER, TYPE, EVENT, THREAD, TS, ORIGIN, ACCEPTED] = [1, 2, 3, 4, 5, 6, 7] as const;
const RECEIPT_ITEMS = 7;
/** Item of an event that may follow it: an imported event's order, or the `as_of` of state. */
const EVENT_ORDER = 2;

export function isEntry(entry: unknown): entry is Entry {
  if (!Array.isArray(entry)) return false;
  const kind: unknown = entry[0];
  if (kind === RECEIPT) return isReceipt(entry);
  if (kind === STATE) return isEvent(entry[1]) && isOptionalOrder(entry, (order) => order >= 0);
  if (kind !== LIVE && kind !== BACKFILLED && kind !== HISTORY) return false;
  return isEvent(entry[1]) && isOptionalOrder(entry, (order) => order !== 0);
}

function isReceipt(entry: readonly unknown[]): boolean {
  return (
    (entry.length === RECEIPT_ITEMS || (entry.length === RECEIPT_ITEMS + 1 && entry[ACCEPTED] === true)) &&
    typeof entry[USER] === "string" &&
    typeof entry[TYPE] === "string" &&
    typeof entry[EVENT] === "string" &&
    (entry[THREAD] === null || typeof entry[THREAD] === "string") &&
    typeof entry[TS] === "number" &&
    (entry[ORIGIN] === null || typeof entry[ORIGIN] === "string")
  );
}

function isOptionalOrder(entry: readonly unknown[], fits: (order: number) => boolean): boolean {
  if (entry.length === EVENT_ORDER) return true;
  const order = entry[EVENT_ORDER];
  return entry.length === EVENT_ORDER + 1 && Number.isSafeInteger(order) && fits(order as number);
}

function isEvent(event: unknown): boolean {
  if (typeof event !== "object" || event === null) return false;
  const { event_id: id, type, sender, content } = event as Record<string, unknown>;
  return (
    typeof id === "string" &&
    typeof type === "string" &&
    typeof sender === "string" &&
    typeof content === "object" &&
    content !== null
  );
}
