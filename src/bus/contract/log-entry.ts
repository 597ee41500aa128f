/**
 * What an entry of the log is (docs/design.md#records), for records and for exported logs alike.
 *
 * By hand rather than by schema: every entry comes through here before it is folded. It checks what the fold relies on.
 * Nothing here does I/O or needs Node, so that the inspector's page reads files too.
 */
import { BACKFILLED, type Entry, LIVE, RECEIPT, STATE } from "../../../actors/entry.ts";

const RECEIPT_ITEMS = 7;

export function isEntry(entry: unknown): entry is Entry {
  if (!Array.isArray(entry)) return false;
  const kind: unknown = entry[0];
  if (kind === RECEIPT) return isReceipt(entry);
  return (kind === LIVE || kind === BACKFILLED || kind === STATE) && isEvent(entry[1]);
}

function isReceipt(entry: readonly unknown[]): boolean {
  const [, user, type, event, thread, ts, origin] = entry;
  return (
    entry.length === RECEIPT_ITEMS &&
    typeof user === "string" &&
    typeof type === "string" &&
    typeof event === "string" &&
    (thread === null || typeof thread === "string") &&
    typeof ts === "number" &&
    (origin === null || typeof origin === "string")
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
