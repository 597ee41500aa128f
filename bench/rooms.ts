/** Makes rooms full of events. */
import { connect, type NatsConnection } from "nats";
import { decode, encode } from "../src/bus/contract/codec.ts";
import { inSubject } from "../src/bus/contract/subjects.ts";
import { type RoomId, roomId } from "../src/matrix/ids.ts";
import { eventOf, SERVER, type Size } from "./numbered.ts";

const EVENTS_PER_REQUEST = 100;
const PREPARE_LIMIT_MS = 30_000;

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
