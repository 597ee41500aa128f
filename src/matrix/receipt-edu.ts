/**
 * `m.receipt` EDUs (Matrix specification, server-server API, "Receipts"), from receipts and back.
 *
 *     { "<room>": { "m.read": { "<user>": { event_ids: ["<event>"], data: { ts, thread_id? } } } } }
 *
 * An EDU has one place for a (room, user), so a user's receipts in further threads go into further EDUs. Receipts are put
 * into the first EDU that has a place for them and stays below `EDU_BYTES_MAX` as JSON, which is how it crosses federation.
 */
import { EDU_BYTES_MAX } from "../limits.ts";
import type { EventId, RoomId, ThreadId, UserId } from "./ids.ts";
import { READ } from "./receipt-types.ts";

/** A public receipt, as other servers learn of it: without an order, which is this server's own (MSC4033). */
export interface FederatedReceipt {
  readonly room: RoomId;
  readonly user: UserId;
  /** null: unthreaded. */
  readonly thread: ThreadId | null;
  readonly event: EventId;
  /** ms */
  readonly ts: number;
}

interface EduItem {
  readonly event_ids: readonly [EventId];
  readonly data: { readonly ts: number; readonly thread_id?: ThreadId };
}

export interface ReceiptEdu {
  readonly edu_type: "m.receipt";
  readonly content: Readonly<Record<RoomId, { readonly [READ]: Readonly<Record<UserId, EduItem>> }>>;
}

/** An EDU, and what it says. */
export interface PackedEdu {
  readonly edu: ReceiptEdu;
  readonly receipts: readonly FederatedReceipt[];
}

/** What a later receipt replaces an earlier one of. */
export function receiptKey({ room, user, thread }: FederatedReceipt): string {
  return `${room} ${user} ${thread ?? ""}`;
}

/** As few EDUs as hold these receipts, which have a key each. */
export function packEdus(receipts: Iterable<FederatedReceipt>): PackedEdu[] {
  const edus: OpenEdu[] = [];
  const places = new Map<string, number>();
  let firstWithSpace = 0;
  for (const receipt of receipts) {
    const place = `${receipt.room} ${receipt.user}`;
    const item = itemOf(receipt);
    const bytes = jsonBytes(receipt.user) + jsonBytes(item);
    let at = Math.max(firstWithSpace, (places.get(place) ?? -1) + 1);
    for (; at < edus.length; at++) {
      if (edus[at]!.fits(receipt, bytes)) break;
      if (at === firstWithSpace) firstWithSpace++;
    }
    if (at === edus.length) edus.push(new OpenEdu());
    edus[at]!.add(receipt, item, bytes);
    places.set(place, at);
  }
  return edus.map(({ content, receipts }) => ({ edu: { edu_type: "m.receipt", content }, receipts }));
}

/** What an EDU of Tidemark's own says. */
export function* receiptsIn({ content }: ReceiptEdu): Generator<FederatedReceipt> {
  for (const [room, types] of Object.entries(content)) {
    for (const [user, { event_ids, data }] of Object.entries(types[READ])) {
      const { ts, thread_id: thread = null } = data;
      yield { room: room as RoomId, user: user as UserId, thread, event: event_ids[0], ts };
    }
  }
}

const ENVELOPE_BYTES = jsonBytes({ edu_type: "m.receipt", content: {} });
const ROOM_BYTES = jsonBytes({ [READ]: {} });
/** A colon and a comma. */
const PUNCTUATION_BYTES = 2;

class OpenEdu {
  readonly content: Record<RoomId, { readonly [READ]: Record<UserId, EduItem> }> = {};
  readonly receipts: FederatedReceipt[] = [];
  #bytes = ENVELOPE_BYTES;

  fits({ room }: FederatedReceipt, bytes: number): boolean {
    return this.#bytes + bytes + PUNCTUATION_BYTES + this.#roomBytes(room) <= EDU_BYTES_MAX;
  }

  add(receipt: FederatedReceipt, item: EduItem, bytes: number): void {
    const { room, user } = receipt;
    this.#bytes += bytes + PUNCTUATION_BYTES + this.#roomBytes(room);
    this.content[room] ??= { [READ]: {} };
    this.content[room][READ][user] = item;
    this.receipts.push(receipt);
  }

  #roomBytes(room: RoomId): number {
    return this.content[room] === undefined ? jsonBytes(room) + ROOM_BYTES + PUNCTUATION_BYTES : 0;
  }
}

function itemOf({ event, ts, thread }: FederatedReceipt): EduItem {
  return { event_ids: [event], data: thread === null ? { ts } : { ts, thread_id: thread } };
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
