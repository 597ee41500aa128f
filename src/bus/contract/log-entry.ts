/**
 * What an entry of the log is (docs/design.md#records), for records and for exported logs alike.
 *
 * By hand rather than by schema: every entry comes through here before it is folded. It checks what the fold relies on.
 * Nothing here does I/O or needs Node, so that the inspector's page reads files too.
 */
import { BACKFILLED, type Entry, LIVE, RECEIPT, STATE } from "../../../actors/entry.ts";

/** Items of a receipt. To take them apart by an iterator would cost each of them. */
const [USER, TYPE, EVENT, THREAD, TS, ORIGIN] = [1, 2, 3, 4, 5, 6] as const;
const RECEIPT_ITEMS = 7;

export function isEntry(entry: unknown): entry is Entry {
  if (!Array.isArray(entry)) return false;
  const kind: unknown = entry[0];
  if (kind === RECEIPT) return isReceipt(entry);
  return (kind === LIVE || kind === BACKFILLED || kind === STATE) && isEvent(entry[1]);
}

function isReceipt(entry: readonly unknown[]): boolean {
  return (
    entry.length === RECEIPT_ITEMS &&
    typeof entry[USER] === "string" &&
    typeof entry[TYPE] === "string" &&
    typeof entry[EVENT] === "string" &&
    (entry[THREAD] === null || typeof entry[THREAD] === "string") &&
    typeof entry[TS] === "number" &&
    (entry[ORIGIN] === null || typeof entry[ORIGIN] === "string")
  );
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
