/** Merges contents of `m.receipt` events: the last receipt of each (user, type, thread) is kept. */
import type { UserId } from "../../matrix/ids.ts";
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
  // By user: a text of user, type and thread for each receipt would cost more than all else.
  const latest = new Map<UserId, ReceiptItem[]>();
  for (const content of contents) {
    for (const receipt of receiptItems(content)) {
      const own = latest.get(receipt.user);
      if (own === undefined) latest.set(receipt.user, [receipt]);
      else replace(own, receipt);
    }
  }
  const merged: ReceiptContent = keyed();
  for (const own of latest.values()) {
    for (const { event, type, user, data } of own) {
      merged[event] ??= {};
      merged[event][type] ??= keyed();
      const users = merged[event][type];
      if (data.thread_id === undefined || users[user] === undefined) users[user] = data;
    }
  }
  return merged;
}

function replace(own: ReceiptItem[], receipt: ReceiptItem): void {
  const { type, data } = receipt;
  const at = own.findIndex((other) => other.type === type && other.data.thread_id === data.thread_id);
  if (at < 0) own.push(receipt);
  else own[at] = receipt;
}
