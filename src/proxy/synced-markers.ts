/** One user's own markers in the answer to a `/sync`. Whatever in it is no marker by Tidemark's rules is left out. */
import * as z from "zod";
import { receiptRequest } from "../bus/contract/requests.ts";
import { isRoomId } from "../matrix/id-grammar.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { sentReceiptData } from "../matrix/receipt.ts";
import { FULLY_READ, READING_TYPES } from "../matrix/receipt-types.ts";
import type { ToldReceipt } from "./accepted-receipts.ts";

const events = z.object({ events: z.array(z.object({ type: z.string(), content: z.unknown() })) }).partial();
const answer = z.object({
  next_batch: z.string(),
  rooms: z
    .object({ join: z.record(z.string(), z.object({ ephemeral: events, account_data: events }).partial()) })
    .partial()
    .optional(),
});

interface SyncedMarkers {
  readonly next: string;
  readonly rooms: ReadonlyMap<RoomId, readonly ToldReceipt[]>;
}

/** Throws if it is no such answer. */
export function markersIn(json: unknown, user: UserId): SyncedMarkers {
  const { next_batch: next, rooms } = answer.parse(json);
  const found = new Map<RoomId, ToldReceipt[]>();
  for (const [room, { ephemeral, account_data: data }] of Object.entries(rooms?.join ?? {})) {
    const markers = [
      ...contentsOf(ephemeral, "m.receipt").flatMap((content) => [...receiptsOf(content, user)]),
      ...contentsOf(data, FULLY_READ).flatMap((content) => [...fullyReadIn(content, user)]),
    ];
    if (isRoomId(room) && markers.length > 0) found.set(room as RoomId, markers);
  }
  return { next, rooms: found };
}

function contentsOf(section: z.infer<typeof events> | undefined, wanted: string): unknown[] {
  return (section?.events ?? []).filter(({ type }) => type === wanted).map(({ content }) => content);
}

function* receiptsOf(content: unknown, user: UserId): Generator<ToldReceipt> {
  for (const [event, byType] of entriesOf(content)) {
    for (const type of READING_TYPES) {
      const data = memberOf(memberOf(byType, type), user);
      if (data !== undefined) yield* parsed(user, { receipt_type: type, event_id: event, ...sentReceiptData(data) });
    }
  }
}

function* fullyReadIn(content: unknown, user: UserId): Generator<ToldReceipt> {
  yield* parsed(user, { receipt_type: FULLY_READ, event_id: memberOf(content, "event_id") });
}

/** Yields what ingress takes. */
function* parsed(user: UserId, receipt: Readonly<Record<string, unknown>>): Generator<ToldReceipt> {
  const { success, data } = receiptRequest.safeParse({ ts: Date.now(), ...receipt, user_id: user, accepted: true });
  if (!success) return;
  const { ts = Date.now(), receipt_type, event_id, thread_id } = data;
  yield { user_id: user, receipt_type, event_id, ...(thread_id !== undefined && { thread_id }), ts, accepted: true };
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
