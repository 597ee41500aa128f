/**
 * The receipts that a client's request sets: `POST …/receipt/{type}/{event}` and `POST …/read_markers` (Matrix specification,
 * "Receipts", "Fully read markers"). Whatever is no receipt by Tidemark's rules sets none; the homeserver judges the request.
 */
import type { IncomingMessage } from "node:http";
import { isEventId, isRoomId } from "../matrix/id-grammar.ts";
import { type EventId, type RoomId, type ThreadId, threadId } from "../matrix/ids.ts";
import { receiptType } from "../matrix/receipt.ts";
import { isThreaded, RECEIPT_TYPES, type ReceiptType } from "../matrix/receipt-types.ts";

export interface PostedReceipt {
  readonly receipt_type: ReceiptType;
  readonly event_id: EventId;
  readonly thread_id?: ThreadId;
}

/** What the path of such a request says. */
export interface ReceiptPath {
  readonly room: RoomId;
  /** undefined for `read_markers`, whose body has the receipts. */
  readonly receipt: Pick<PostedReceipt, "receipt_type" | "event_id"> | undefined;
}

const PATH =
  /^\/_matrix\/client\/(?:r0|v\d+|api\/v1|unstable(?:\/[^/?]+)?)\/rooms\/([^/?]+)\/(?:receipt\/([^/?]+)\/([^/?]+)|read_markers)(?:\?|$)/;

/** Returns undefined for a request that sets no receipt. */
export function receiptPath({ method, url = "" }: Pick<IncomingMessage, "method" | "url">): ReceiptPath | undefined {
  const match = method === "POST" ? PATH.exec(url) : null;
  if (match === null) return undefined;
  const [room = "", type, event] = match.slice(1).map(decoded);
  if (!isRoomId(room)) return undefined;
  if (match[2] === undefined) return { room: room as RoomId, receipt: undefined };
  const parsed = receiptType.safeParse(type);
  if (!parsed.success || event === undefined || !isEventId(event)) return undefined;
  return { room: room as RoomId, receipt: { receipt_type: parsed.data, event_id: event as EventId } };
}

/** Returns an empty array for a body that the homeserver can't have taken. */
export function receiptsIn({ receipt }: ReceiptPath, body: Buffer): PostedReceipt[] {
  const content = objectIn(body);
  if (content === undefined) return [];
  if (receipt === undefined) {
    return RECEIPT_TYPES.flatMap((type) => {
      const event = content[type];
      return typeof event === "string" && isEventId(event) ? [{ receipt_type: type, event_id: event as EventId }] : [];
    });
  }
  const { thread_id: thread } = content;
  if (thread === undefined || thread === null) return [receipt];
  const parsed = threadId.safeParse(thread);
  return parsed.success && isThreaded(receipt.receipt_type) ? [{ ...receipt, thread_id: parsed.data }] : [];
}

/** Clients of old send no body with a receipt. */
function objectIn(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (body.length === 0) return {};
  try {
    const content: unknown = JSON.parse(body.toString());
    return typeof content === "object" && content !== null ? { ...content } : undefined;
  } catch {
    return undefined;
  }
}

function decoded(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
