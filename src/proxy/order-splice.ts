/** Writes orders into a homeserver's answer. Every byte that is no order stays as it was. */
import type { Order } from "../../actors/entry.ts";
import type { Steps } from "../in-slices.ts";
import { type Edit, edited, putInto } from "./object-edit.ts";
import type { OrderPlace } from "./order-places.ts";

/** Places of a step. */
const STEP_PLACES = 256;

/** Returns an event's order; undefined if it isn't known. */
export type OrderOf = (room: string, eventId: string) => Order | undefined;

/** `names`: those under which an order is written. Without a known order, one that a place has is cut out. */
export function* withOrders(
  json: Buffer,
  places: readonly OrderPlace[],
  { orderOf, names }: { readonly orderOf: OrderOf; readonly names: readonly string[] },
): Steps<Buffer> {
  const edits: Edit[] = [];
  const keys = names.map((name) => `${JSON.stringify(name)}:`);
  for (const [i, { kind, room, eventId, object, lacksUnsigned }] of places.entries()) {
    if (i % STEP_PLACES === 0) yield;
    if (object === undefined) continue;
    const order = room === undefined ? undefined : orderOf(room, eventId);
    if (order !== undefined) {
      // A receipt on an event that everybody has read has the order 0 (MSC4033).
      const shown = kind === "receipt" ? Math.max(0, order) : order;
      const members = keys.map((key) => key + shown).join(",");
      edits.push(putInto(object, lacksUnsigned ? `"unsigned":{${members}}` : members));
    }
    for (const cut of object.cuts) edits.push(cut);
  }
  return yield* edited(json, edits);
}
