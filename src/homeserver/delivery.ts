/** Hands over to ingress what a homeserver told, in requests of a size that it takes. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "../bus/client/connection.ts";
import { send } from "../bus/client/request.ts";
import type { RequestKind } from "../bus/contract/subjects.ts";
import { TidemarkError } from "../errors.ts";
import { DELIVERY_ATTEMPTS_MAX, DELIVERY_BYTES_MAX, ENTRIES_PER_RECORD_MAX, RETRY_AFTER_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { RoomIntake } from "./transaction.ts";

/** Resolves once all of it is stored: events first, so that receipts find theirs. */
export async function deliverRoom(nc: Bus, room: RoomId, { events, receipts }: RoomIntake): Promise<void> {
  await deliver(nc, { kind: "event", room }, events);
  await deliver(nc, { kind: "receipt", room }, receipts);
}

/** Sends items of one kind, in as many requests as needed. Resolves once all of them are in the log. */
export async function deliver(
  nc: Bus,
  { kind, room }: { readonly kind: Exclude<RequestKind, "edu">; readonly room: RoomId },
  items: readonly unknown[],
): Promise<void> {
  for (const part of parts(items)) await insist(() => send(nc, { kind, room }, part));
}

/** Asks again, after the time that it names, while ingress is saturated. */
async function insist(send: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await send();
      return;
    } catch (error) {
      const saturated = error instanceof TidemarkError && error.code === "M_LIMIT_EXCEEDED";
      if (!saturated || attempt === DELIVERY_ATTEMPTS_MAX) throw error;
      await delay(error.retryAfterMs ?? RETRY_AFTER_MS);
    }
  }
}

function* parts(items: readonly unknown[]): Generator<readonly unknown[]> {
  let part: unknown[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = Buffer.byteLength(JSON.stringify(item));
    if (part.length > 0 && (part.length === ENTRIES_PER_RECORD_MAX || bytes + size > DELIVERY_BYTES_MAX)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
