/** Deltas as a worker publishes them, with what a test needs to see of them. */
import type { Delta } from "../../src/bus/contract/messages.ts";

type Json = Record<string, unknown>;

/** An event of this order: `$<order>`. `more` overrides its fields. */
export function orderedEvent(order: number, more: Json = {}) {
  const base = { event_id: `$${order}`, type: "m.room.message", sender: "@alice:a.org", content: {} };
  return { ...base, unsigned: { order }, ...more };
}

/** Live events. `more`: the position, and what else differs. */
export function liveEvents(room: string, events: readonly Json[], more: Json): Delta {
  return { type: "events", kind: "live", room_id: room, events, ...more } as unknown as Delta;
}

/** A receipt of order 1. */
export function receiptDelta(room: string, event: string, { user, type = "m.read" }: { user: string; type?: string }) {
  const content = { [event]: { [type]: { [user]: { ts: 1, order: 1 } } } };
  return { type: "receipts", room_id: room, position: 1, event: { type: "m.receipt", content } } as unknown as Delta;
}
