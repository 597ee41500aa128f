/**
 * `m.receipt` EDUs (Matrix specification, server-server API, "Receipts"), from receipts and back.
 *
 *     { "<room>": { "m.read": { "<user>": { event_ids: ["<event>"], data: { ts, thread_id? } } } } }
 *
 * An EDU has one place for each (room, user), so a user's receipts in further threads go into further EDUs. A receipt is put
 * into the first EDU that has its place free and stays within `EDU_BYTES_MAX` as JSON, which is how it crosses federation.
 */
import * as z from "zod";
import { EDU_BYTES_MAX } from "../limits.ts";
import { sentTimestamp, timestamp } from "./event.ts";
import { ID_SEPARATOR } from "./id-grammar.ts";
import { type EventId, eventId, type RoomId, type ThreadId, threadId, type UserId } from "./ids.ts";
import { sentReceiptData } from "./receipt.ts";
import { type FederatedType, READ } from "./receipt-types.ts";

/** A receipt for other servers, of the one type that federates. It has no order: orders are local to a server (MSC4033). */
export interface FederatedReceipt {
  readonly room: RoomId;
  readonly user: UserId;
  /** null: unthreaded. */
  readonly thread: ThreadId | null;
  readonly event: EventId;
  /** Unix time in ms, as the receipt says. */
  readonly ts: number;
}

/** One user's item in the content of an `m.receipt` EDU: exactly one event id. */
export const eduItem = z.object(
  {
    event_ids: z.tuple([eventId], { error: "must be an array of exactly one event id" }),
    data: z.object({ ts: timestamp, thread_id: threadId.optional() }, { error: "must be an object" }),
  },
  { error: "must be an object" },
);

/** The same as other servers send it. Without a time that is a number, the receipt has the time of its arrival. */
export const sentEduItem = eduItem.extend({
  data: z
    .unknown()
    .optional()
    .transform(sentReceiptData)
    .pipe(z.object({ ts: sentTimestamp.exactOptional(), thread_id: threadId.exactOptional() })),
});

type EduItem = z.infer<typeof eduItem>;

export const receiptEduContent = z
  .record(z.string(), z.object({ [READ]: z.record(z.string(), eduItem) } satisfies Record<FederatedType, z.ZodType>))
  .meta({ id: "ReceiptEduContent", description: "Room id → `m.read` → user id → event and time." });

export const receiptEdu = z
  .object({ edu_type: z.literal("m.receipt"), content: receiptEduContent })
  .meta({ id: "ReceiptEdu", description: "An `m.receipt` EDU, as servers send it to each other." });

export type ReceiptEdu = z.infer<typeof receiptEdu>;

/** An EDU, and the receipts in it. */
export interface PackedEdu {
  readonly edu: ReceiptEdu;
  readonly receipts: readonly FederatedReceipt[];
}

/** A later receipt replaces an earlier one with the same key. */
export function receiptKey({ room, user, thread }: FederatedReceipt): string {
  return [room, user, thread ?? ""].join(ID_SEPARATOR);
}

/** An EDU has one place for it: receipts with the same place need an EDU each. */
export function placeOf({ room, user }: FederatedReceipt): string {
  return `${room}${ID_SEPARATOR}${user}`;
}

/** Packs receipts into as few EDUs as possible. No two receipts may have the same key. */
export function packEdus(receipts: Iterable<FederatedReceipt>): PackedEdu[] {
  const packer = new EduPacker();
  for (const receipt of receipts) packer.add(receipt);
  return packer.packed;
}

/** The same, receipt by receipt, into at most `max` EDUs. */
export class EduPacker {
  readonly #max: number;
  readonly #edus: OpenEdu[] = [];
  readonly #places = new Map<string, number>();
  #firstWithSpace = 0;

  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max;
  }

  /** Whether no receipt has space. */
  get isFull(): boolean {
    return this.#firstWithSpace === this.#max;
  }

  get packed(): PackedEdu[] {
    return this.#edus.map(({ content, receipts }) => ({ edu: { edu_type: "m.receipt", content }, receipts }));
  }

  /** Returns false for a receipt that would need one more EDU than there may be. */
  add(receipt: FederatedReceipt): boolean {
    const edus = this.#edus;
    const place = placeOf(receipt);
    let at = Math.max(this.#firstWithSpace, (this.#places.get(place) ?? -1) + 1);
    if (at === this.#max) return false;
    const item = itemOf(receipt);
    const bytes = jsonBytes(receipt.user) + jsonBytes(item);
    for (; at < edus.length; at++) {
      if (edus[at]!.fits(receipt, bytes)) break;
      if (at === this.#firstWithSpace) this.#firstWithSpace++;
    }
    if (at === this.#max) return false;
    if (at === edus.length) edus.push(new OpenEdu());
    edus[at]!.add(receipt, item, bytes);
    this.#places.set(place, at);
    return true;
  }
}

/** The receipts in an EDU that Tidemark made, so that its keys are ids. */
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
  readonly content: Record<RoomId, Readonly<Record<FederatedType, Record<UserId, EduItem>>>> = {};
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
