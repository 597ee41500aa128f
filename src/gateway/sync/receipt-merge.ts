/** Several contents of `m.receipt` as one: the latest of each (user, type, thread). */
import type { EventId, UserId } from "../../matrix/ids.ts";
import type { ReceiptContent, ReceiptData, ReceiptType } from "../../matrix/receipt.ts";

interface Placed {
  readonly event: EventId;
  readonly type: ReceiptType;
  readonly user: UserId;
  readonly data: ReceiptData;
}

/** Oldest first. Where an unthreaded and a threaded receipt meet on one event, the unthreaded one stays (MSC4102). */
export function mergeReceipts(contents: readonly ReceiptContent[]): ReceiptContent {
  if (contents.length === 1) return contents[0]!;
  const latest = new Map<string, Placed>();
  for (const content of contents) {
    for (const placed of receiptsIn(content)) {
      latest.set(`${placed.user} ${placed.type} ${placed.data.thread_id ?? ""}`, placed);
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

function* receiptsIn(content: ReceiptContent): Generator<Placed> {
  for (const [event, types] of Object.entries(content) as [EventId, ReceiptContent[EventId]][]) {
    for (const [type, users] of Object.entries(types) as [ReceiptType, Record<UserId, ReceiptData>][]) {
      for (const [user, data] of Object.entries(users) as [UserId, ReceiptData][]) yield { event, type, user, data };
    }
  }
}
