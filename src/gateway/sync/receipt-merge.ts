/** Merges contents of `m.receipt` events: the last receipt of each (user, type, thread) is kept. */
import { type ReceiptContent, type ReceiptItem, receiptItems } from "../../matrix/receipt.ts";

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
  const merged: ReceiptContent = {};
  for (const { event, type, user, data } of latest.values()) {
    merged[event] ??= {};
    merged[event][type] ??= {};
    const users = merged[event][type];
    if (data.thread_id === undefined || users[user] === undefined) users[user] = data;
  }
  return merged;
}
