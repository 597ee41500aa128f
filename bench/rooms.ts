/**
 * Rooms full of events, and receipts that all advance a marker.
 *
 * The receipts go through the events in order: first every user of every room reads the first event, then the second.
 * So a marker has at most one receipt in flight, and it is clear which receipt a delta is for.
 */
import { connect, type NatsConnection } from "nats";
import { decode, encode } from "../src/bus/contract/codec.ts";
import type { Published } from "../src/bus/contract/messages.ts";
import { inSubject } from "../src/bus/contract/subjects.ts";
import { type RoomId, roomId } from "../src/matrix/ids.ts";

export const SERVER = "bench.example.org";
const EVENTS_PER_REQUEST = 100;
const PREPARE_LIMIT_MS = 30_000;

/** The number of rooms, and of events and users per room. */
export interface Size {
  readonly rooms: number;
  readonly events: number;
  readonly users: number;
}

export interface Rooms {
  /** The subject of receipts, by room. */
  readonly subjects: readonly string[];
  readonly size: Size;
}

let made = 0;

/** Makes new rooms, and waits until the deltas of all their events have arrived. */
export async function makeRooms(url: string, size: Size): Promise<Rooms> {
  const nc = await connect({ servers: url });
  try {
    const series = made++;
    const ids = Array.from({ length: size.rooms }, (_, room) => roomId.parse(`!r${series}-${room}:${SERVER}`));
    const published = countEvents(nc, size.rooms * size.events);
    await Promise.all([published, sendAllEvents(nc, ids, size.events)]);
    return { subjects: ids.map((id) => inSubject.receipt(id)), size };
  } finally {
    await nc.close();
  }
}

async function sendAllEvents(nc: NatsConnection, rooms: readonly RoomId[], count: number): Promise<void> {
  for (let from = 0; from < count; from += EVENTS_PER_REQUEST) {
    const events: unknown[] = [];
    for (let n = from; n < Math.min(from + EVENTS_PER_REQUEST, count); n++) events.push(eventOf(n));
    const payload = encode(events);
    await Promise.all(rooms.map((room) => sendEvents(nc, inSubject.event(room), payload)));
  }
}

async function sendEvents(nc: NatsConnection, subject: string, payload: Uint8Array): Promise<void> {
  const reply = await nc.request(subject, payload, { timeout: PREPARE_LIMIT_MS });
  const { ok, error } = decode(reply.data) as { ok: boolean; error?: string };
  if (!ok) throw new Error(`events were refused: ${error}`);
}

function countEvents(nc: NatsConnection, expected: number): Promise<void> {
  let count = 0;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`the deltas of ${expected - count} of ${expected} events did not arrive`));
    }, PREPARE_LIMIT_MS);
    nc.subscribe("tidemark.client.*.*.events", {
      callback: (_, message) => {
        count += (decode(message.data) as { events: unknown[] }).events.length;
        if (count < expected) return;
        clearTimeout(timer);
        resolve();
      },
    });
  });
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
