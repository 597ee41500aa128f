/** Merges contents of `m.receipt` events: the last receipt of each (user, type, thread) is kept. */
import { keyed, type ReceiptContent, type ReceiptItem, receiptItems } from "../../matrix/receipt.ts";

/** The content of an `m.receipt` event: as it is, or as JSON where nothing has to read it. */
export type KeptReceipts = ReceiptContent | string;

export const NO_RECEIPTS = "{}";

export function readReceipts(kept: KeptReceipts): ReceiptContent {
  return typeof kept === "string" ? JSON.parse(kept) : kept;
}

/** `mergeReceipts`, as JSON. */
export function receiptsJson(contents: readonly KeptReceipts[]): string {
  const filled = contents.filter((kept) => (typeof kept === "string" ? kept !== NO_RECEIPTS : !isEmpty(kept)));
  const [only, ...others] = filled;
  if (only === undefined) return NO_RECEIPTS;
  if (others.length === 0) return typeof only === "string" ? only : JSON.stringify(only);
  return JSON.stringify(mergeReceipts(filled.map(readReceipts)));
}

function isEmpty(content: ReceiptContent): boolean {
  for (const _ in content) return false;
  return true;
}

/**
 * `contents`: oldest first. If a user has an unthreaded and a threaded receipt on the same event, the unthreaded one is
 * kept (MSC4102).
 */
export function mergeReceipts(contents: readonly ReceiptContent[]): ReceiptContent {
  if (contents.length === 1) return contents[0]!;
  const latest = new Map<string, ReceiptItem>();
  for (const content of contents) {
    for (const receipt of receiptItems(content)) {
      latest.set(`${receipt.user} ${receipt.type} ${receipt.data.thread_id ?? ""}`, receipt);
    }
  }
  const merged: ReceiptContent = keyed();
  for (const { event, type, user, data } of latest.values()) {
    merged[event] ??= {};
    merged[event][type] ??= keyed();
    const users = merged[event][type];
    if (data.thread_id === undefined || users[user] === undefined) users[user] = data;
  }
  return merged;
}
