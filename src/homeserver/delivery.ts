/**
 * Sends events and receipts of a homeserver to ingress, in requests of limited size.
 *
 * What a homeserver pushes must not be answered with an error that lasts: it would repeat the same transaction for ever. So
 * what ingress refuses for good is left out. Ingress refuses a request as a whole, so the request is halved, and its halves
 * in turn, until the item at fault is alone. The rest is stored, in order, and once: nothing of a refused request was.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Position } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { send } from "../bus/client/request.ts";
import { encodedSize } from "../bus/contract/codec.ts";
import type { RoomRequestKind, SentItem } from "../bus/contract/requests.ts";
import { type ErrorCode, TidemarkError } from "../errors.ts";
import type { Turns } from "../in-slices.ts";
import { ENTRIES_PER_RECORD_MAX, RETRY_AFTER_MS, VALUES_MAX } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { NewReceipts } from "./new-receipts.ts";
import type { PushedReceipt, PushedRoom } from "./transaction.ts";

/** Encoded bytes of one request to ingress. An event of the largest size always fits, whatever is in it. */
const DELIVERY_BYTES_MAX = 262_144;

/** Values of a request besides its items: the array, and what may be around it (`{ events, after }`). */
const WRAPPING_VALUES = 9;

/** Attempts while ingress is saturated. */
const DELIVERY_ATTEMPTS_MAX = 20;

/** Why parts of a transaction are not stored: malformed here, or refused by ingress. */
export type LeftOutReason = "malformed" | "too_large" | ErrorCode;

export type OnLeftOut = (reason: LeftOutReason, items: number) => void;

interface Target<Kind extends RoomRequestKind> {
  readonly kind: Kind;
  readonly room: RoomId;
}

/** What the rooms of a transaction have in common. */
interface Delivery {
  readonly newReceipts: NewReceipts;
  /** Requests are made one in a turn of the event loop: many large ones at once would hold up everybody. */
  readonly turns: Turns;
  readonly onLeftOut: OnLeftOut;
}

/**
 * Resolves once everything is stored that ingress doesn't refuse for good, and that is new, to the receipts that were new. Events are
 * sent first, so that receipts do not have to wait for them. Throws when the same request may succeed later.
 */
export async function deliverRoom(
  nc: Bus,
  { room, newReceipts, ...delivery }: Delivery & { readonly room: RoomId },
  { events, receipts }: PushedRoom,
): Promise<readonly PushedReceipt[]> {
  const found: PushedReceipt[] = [];
  for await (const batch of inTurns(events, delivery))
    await sendAccepted(nc, { kind: "event", room, ...delivery }, batch);
  for await (const batch of inTurns(receipts, delivery)) {
    const fresh = await newReceipts.of(room, batch);
    if (fresh.length > 0) await sendAccepted(nc, { kind: "receipt", room, ...delivery }, fresh);
    for (const receipt of fresh) found.push(receipt);
  }
  return found;
}

/** Requests, one in a turn. */
async function* inTurns<Item>(
  items: readonly Item[],
  { turns }: Pick<Delivery, "turns">,
): AsyncGenerator<readonly Item[]> {
  const requests = batches(items);
  for (;;) {
    await turns.next();
    const { done, value: batch } = requests.next();
    if (done) return;
    yield batch;
  }
}

async function sendAccepted<Kind extends RoomRequestKind>(
  nc: Bus,
  target: Target<Kind> & Pick<Delivery, "onLeftOut">,
  batch: readonly SentItem<Kind>[],
): Promise<void> {
  try {
    await sendWithRetry(() => send(nc, target, batch));
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.shouldRetry()) throw error;
    if (batch.length === 1) {
      target.onLeftOut(error.code, 1);
      return;
    }
    const half = Math.ceil(batch.length / 2);
    await sendAccepted(nc, target, batch.slice(0, half));
    await sendAccepted(nc, target, batch.slice(half));
  }
}

interface OlderTarget extends Target<"history" | "backfill"> {
  /** The first request is refused with `M_BAD_STATE` if something of the room came after this position. */
  readonly after?: Position | undefined;
}

/** Sends older events, in as many requests as needed. Resolves once all of them are in the log. */
export async function deliverOlder(nc: Bus, target: OlderTarget, events: readonly MatrixEvent[]): Promise<void> {
  let { after } = target;
  for (const batch of batches(events)) {
    const request = after === undefined ? batch : { events: batch, after };
    await sendWithRetry(() => send(nc, target, request));
    after = undefined;
  }
}

/** Retries while ingress is saturated, after the delay that it asks for. */
export async function sendWithRetry<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      const saturated = error instanceof TidemarkError && error.code === "M_LIMIT_EXCEEDED";
      if (!saturated || attempt === DELIVERY_ATTEMPTS_MAX) throw error;
      await delay(error.retryAfterMs ?? RETRY_AFTER_MS);
    }
  }
}

/** Splits items into requests that ingress accepts, by their size as they are encoded. */
export function* batches<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  let batch: Item[] = [];
  let bytes = 0;
  let values = 0;
  for (const item of items) {
    const size = encodedSize(item);
    const isFull =
      batch.length === ENTRIES_PER_RECORD_MAX ||
      bytes + size.bytes > DELIVERY_BYTES_MAX ||
      values + size.values > VALUES_MAX - WRAPPING_VALUES;
    if (isFull && batch.length > 0) {
      yield batch;
      batch = [];
      bytes = 0;
      values = 0;
    }
    batch.push(item);
    bytes += size.bytes;
    values += size.values;
  }
  if (batch.length > 0) yield batch;
}
