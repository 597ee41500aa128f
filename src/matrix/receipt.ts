/** Receipts as clients and other servers send them (Matrix specification, "Receipts"). */
import * as z from "zod";
import { timestamp } from "./event.ts";
import { eventId, threadId, userId } from "./ids.ts";
import { isThreaded, RECEIPT_TYPES, typesOf } from "./receipt-types.ts";

export const receiptType = z.enum(RECEIPT_TYPES, { error: `must be ${typesOf(() => true)}` });

/** Why a `thread_id` is refused. */
export const NOT_THREADED = `is not allowed with ${typesOf((type) => !isThreaded(type))}`;

/**
 * One receipt of a request to `tidemark.in.receipt` (docs/design.md#requests). Other keys are dropped. Without a `thread_id` the
 * receipt is unthreaded, unless `thread_known` is false: then the sender doesn't know whether it has a thread.
 */
export const receiptRequest = z
  .object(
    {
      user_id: userId,
      receipt_type: receiptType,
      event_id: eventId,
      thread_id: threadId.optional(),
      thread_known: z.literal(false, { error: "must be false where it is given" }).optional(),
      ts: timestamp.optional(),
    },
    { error: "must be a receipt (an object)" },
  )
  .refine((receipt) => isThreaded(receipt.receipt_type) || receipt.thread_id === undefined, {
    path: ["thread_id"],
    error: NOT_THREADED,
  })
  .refine((receipt) => receipt.thread_known === undefined || receipt.thread_id === undefined, {
    path: ["thread_known"],
    error: "is not allowed with thread_id",
  });

/** One user's item in the content of an `m.receipt` EDU: exactly one event id. */
export const eduItem = z.object(
  {
    event_ids: z.tuple([eventId], { error: "must be an array of exactly one event id" }),
    data: z.object({ ts: timestamp, thread_id: threadId.optional() }, { error: "must be an object" }),
  },
  { error: "must be an object" },
);

/** What a receipt says in an `m.receipt` event. `order` is MSC4033's, at least 0 (F8). */
const receiptData = z.object({ ts: timestamp, order: z.int().min(0), thread_id: threadId.exactOptional() });

export type ReceiptData = z.infer<typeof receiptData>;

/** The content of an `m.receipt` event: event → type → user → data. */
export const receiptContent = z.record(z.string(), z.partialRecord(receiptType, z.record(z.string(), receiptData)));

export type ReceiptContent = z.infer<typeof receiptContent>;

const receiptEvent = z.object({ type: z.literal("m.receipt"), content: receiptContent });

export type ReceiptEvent = z.infer<typeof receiptEvent>;
