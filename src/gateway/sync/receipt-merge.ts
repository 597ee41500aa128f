/** Merges contents of `m.receipt` events: the last receipt of each (user, type, thread) is kept. */
import type { EventId, UserId } from "../../matrix/ids.ts";
import type { ReceiptContent, ReceiptData } from "../../matrix/receipt.ts";
import type { ReceiptType } from "../../matrix/receipt-types.ts";

interface Receipt {
  readonly event: EventId;
  readonly type: ReceiptType;
  readonly user: UserId;
  readonly data: ReceiptData;
}

/**
 * `contents`: oldest first. If a user has an unthreaded and a threaded receipt on the same event, the unthreaded one is
 * kept (MSC4102).
 */
export function mergeReceipts(contents: readonly ReceiptContent[]): ReceiptContent {
  if (contents.length === 1) return contents[0]!;
  const latest = new Map<string, Receipt>();
  for (const content of contents) {
    for (const receipt of receiptsIn(content)) {
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

function* receiptsIn(content: ReceiptContent): Generator<Receipt> {
  for (const [event, types] of Object.entries(content) as [EventId, ReceiptContent[EventId]][]) {
    for (const [type, users] of Object.entries(types) as [ReceiptType, Record<UserId, ReceiptData>][]) {
      for (const [user, data] of Object.entries(users) as [UserId, ReceiptData][]) yield { event, type, user, data };
    }
  }
}
