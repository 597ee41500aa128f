/** Receipts as clients and other servers send them (Matrix specification, "Receipts"). */
import * as z from "zod";
import { timestamp } from "./event.ts";
import { type EventId, threadId, type UserId } from "./ids.ts";
import { isThreaded, RECEIPT_TYPES, type ReceiptType, typesOf } from "./receipt-types.ts";

export const receiptType = z.enum(RECEIPT_TYPES, { error: `must be ${typesOf(() => true)}` });

/** Why a `thread_id` is refused. */
export const NOT_THREADED = `is not allowed with ${typesOf((type) => !isThreaded(type))}`;

/**
 * What the `data` of a receipt says that another server sent. Homeservers don't check it and pass it on, so whatever makes
 * no sense is as if absent: a time that is no number, and a thread that is no text, or is empty.
 */
export function sentReceiptData(data: unknown): { readonly ts?: number; readonly thread_id?: string } {
  if (typeof data !== "object" || data === null) return {};
  const { ts, thread_id: thread } = data as { readonly ts?: unknown; readonly thread_id?: unknown };
  return {
    ...(typeof ts === "number" && { ts }),
    ...(typeof thread === "string" && thread !== "" && { thread_id: thread }),
  };
}

/** What a receipt says in an `m.receipt` event. */
const receiptData = z.object({
  ts: timestamp,
  order: z.int().min(0).describe("MSC4033's order of the event, at least 0."),
  thread_id: threadId.exactOptional(),
});

export type ReceiptData = z.infer<typeof receiptData>;

/** The content of an `m.receipt` event: event → type → user → data. */
export const receiptContent = z
  .record(z.string(), z.partialRecord(receiptType, z.record(z.string(), receiptData)))
  .meta({ id: "ReceiptContent", description: "Event id → receipt type → user id → the receipt." });

export type ReceiptContent = z.infer<typeof receiptContent>;

export const receiptEvent = z
  .object({ type: z.literal("m.receipt"), content: receiptContent })
  .meta({ id: "ReceiptEvent", description: "An `m.receipt` event, as clients get it from `/sync`." });

export type ReceiptEvent = z.infer<typeof receiptEvent>;

/**
 * An empty object for keys that differ from one to the next, such as users. V8 makes it a hash table at once. A literal `{}` is first
 * given a new hidden class for each key, which takes twice as long.
 */
export function keyed<K extends string, V>(): Record<K, V> {
  return Object.setPrototypeOf(Object.create(null), Object.prototype);
}

/** One receipt of an `m.receipt` event. */
export interface ReceiptItem {
  readonly event: EventId;
  readonly type: ReceiptType;
  readonly user: UserId;
  readonly data: ReceiptData;
}

/** The receipts in a content of Tidemark's own. Its keys are ids and receipt types: Tidemark wrote them. */
export function* receiptItems(content: ReceiptContent): Generator<ReceiptItem> {
  for (const [event, types] of Object.entries(content)) {
    for (const [type, users] of Object.entries(types)) {
      for (const [user, data] of Object.entries(users)) {
        yield { event: event as EventId, type: type as ReceiptType, user: user as UserId, data };
      }
    }
  }
}

/** The content without the receipts of some users. */
export function withoutUsers(content: ReceiptContent, isLeftOut: (user: string) => boolean): ReceiptContent {
  const kept: ReceiptContent = keyed();
  for (const { event, type, user, data } of receiptItems(content)) {
    if (isLeftOut(user)) continue;
    kept[event] ??= {};
    kept[event][type] ??= keyed();
    kept[event][type][user] = data;
  }
  return kept;
}
