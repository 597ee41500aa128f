/**
 * Events, users and rooms by number, and receipts that all advance a marker.
 *
 * The receipts go through the events in order: first every user of every room reads the first event, then the second.
 * So a marker has at most one receipt in flight, and it is clear which receipt a delta is for.
 */
import { encode } from "../src/bus/contract/codec.ts";
import type { Published } from "../src/bus/contract/messages.ts";

export const SERVER = "bench.example.org";

/** The number of rooms, and of events and users per room. */
export interface Size {
  readonly rooms: number;
  readonly events: number;
  readonly users: number;
}

/** Returns the nth event: a message of a usual length. */
export function eventOf(n: number): Record<string, unknown> {
  return {
    event_id: eventId(n),
    type: "m.room.message",
    sender: `@author:${SERVER}`,
    origin_server_ts: 1_700_000_000_000 + n,
    content: { msgtype: "m.text", body: "a message of a usual length, as people write them" },
  };
}

/** Makes ids as long as those of current room versions. */
const EVENT_PREFIX = `$${"b".repeat(37)}`;
const USER_PREFIX = "@reader";

export const eventId = (n: number) => `${EVENT_PREFIX}${String(n).padStart(6, "0")}`;
export const userId = (n: number) => `${USER_PREFIX}${n}:${SERVER}`;

export const eventNumber = (id: string) => Number(id.slice(EVENT_PREFIX.length));
export const userNumber = (id: string) => Number.parseInt(id.slice(USER_PREFIX.length), 10);

/** Returns the payload with which users `from` to `from + count - 1` read an event: a receipt, or an array of them. */
export function receiptsPayload(event: number, from: number, count: number): Uint8Array {
  const receipts = Array.from({ length: count }, (_, i) => ({
    user_id: userId(from + i),
    receipt_type: "m.read",
    event_id: eventId(event),
  }));
  return encode(count === 1 ? receipts[0] : receipts);
}

/** Returns the number of a delta's room. */
export function roomNumber(delta: Published<"receipts">): number {
  const { room_id: id } = delta;
  return Number.parseInt(id.slice(id.indexOf("-") + 1), 10);
}
