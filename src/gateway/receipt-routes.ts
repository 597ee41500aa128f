/** `POST …/receipt/…` and `POST …/read_markers` (Matrix specification, "Receipts", "Fully read markers"). */
import type { FastifyInstance } from "fastify";
import { LRUCache } from "lru-cache";
import { invalidParam, param } from "../http/matrix-error.ts";
import { THREADS_CACHED_BYTES_MAX } from "../limits.ts";
import { ID_SEPARATOR } from "../matrix/id-grammar.ts";
import { type EventId, eventId, type RoomId, type ThreadId, threadId } from "../matrix/ids.ts";
import { NOT_THREADED, receiptType } from "../matrix/receipt.ts";
import { isThreaded, RECEIPT_TYPES } from "../matrix/receipt-types.ts";
import { type Api, bodyOf, optionalBodyOf } from "./api.ts";
import { ReceiptBatches } from "./receipt-batches.ts";

/** Measured: memory that an event's thread costs beside the two ids and the thread's. */
const THREAD_COST_BYTES = 250;

interface ReceiptParams {
  readonly room: string;
  readonly type: string;
  readonly event: string;
}

export function receiptRoutes(app: FastifyInstance, api: Api): void {
  const threadOf = cachedThreads(api);
  const batches = new ReceiptBatches(api.frontend);

  app.post<{ Params: ReceiptParams }>("/_matrix/client/v3/rooms/:room/receipt/:type/:event", async (request) => {
    const { user } = api.device(request);
    const type = param(receiptType, "receipt_type", request.params.type);
    const event = param(eventId, "event_id", request.params.event);
    const { thread_id: requested } = optionalBodyOf(request);
    const thread = requested === undefined ? undefined : param(threadId, "thread_id", requested);
    if (thread !== undefined && !isThreaded(type)) throw invalidParam(`thread_id: ${NOT_THREADED}`);
    const room = await api.joinedRoom(request);
    if (thread !== undefined) {
      const actual = await threadOf(room, event);
      if (actual !== undefined && actual !== thread) {
        throw invalidParam(`thread_id: ${event} is not in the thread ${thread}`);
      }
    }
    const receipt = { user_id: user, receipt_type: type, event_id: event };
    await batches.send(room, [thread === undefined ? receipt : { ...receipt, thread_id: thread }]);
    return {};
  });

  app.post<{ Params: { room: string } }>("/_matrix/client/v3/rooms/:room/read_markers", async (request) => {
    const { user } = api.device(request);
    const body = bodyOf(request);
    const receipts = RECEIPT_TYPES.filter((type) => body[type] !== undefined).map((type) => ({
      user_id: user,
      receipt_type: type,
      event_id: param(eventId, type, body[type]),
    }));
    const room = await api.joinedRoom(request);
    if (receipts.length > 0) await batches.send(room, receipts);
    return {};
  });
}

/**
 * Looks up the thread of an event; undefined while the event is unknown. A thread never changes (F3), so it is cached.
 */
function cachedThreads({ frontend }: Api): (room: RoomId, event: EventId) => Promise<ThreadId | undefined> {
  const cache = new LRUCache<string, ThreadId>({
    maxSize: THREADS_CACHED_BYTES_MAX,
    sizeCalculation: (thread, key) => THREAD_COST_BYTES + 2 * (key.length + thread.length),
  });
  return async (room, event) => {
    const key = `${room}${ID_SEPARATOR}${event}`;
    const cached = cache.get(key);
    if (cached !== undefined) return cached;
    const answer = await frontend.query(room, { op: "threads", event_ids: [event] });
    const thread = answer.threads[event] ?? undefined;
    if (thread !== undefined) cache.set(key, thread);
    return thread;
  };
}
