/**
 * What a homeserver pushes to an application service (Matrix specification, application service API, "Pushing
 * events"; MSC2409 for `ephemeral`), as requests to ingress.
 *
 * A homeserver repeats a transaction until it is taken, so nothing in it may make it untakeable: what is not well-formed,
 * or of no interest, is left out and counted.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { jsonFault } from "../bus/contract/untrusted.ts";
import { EVENT_BYTES_MAX } from "../limits.ts";
import { type MatrixEvent, matrixEvent } from "../matrix/event.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { receiptRequest } from "../matrix/receipt.ts";
import { READ, READ_PRIVATE } from "../matrix/receipt-types.ts";

type PushedReceipt = z.infer<typeof receiptRequest>;

/** What a transaction says of one room. */
export interface RoomIntake {
  /** In the homeserver's order. */
  readonly events: MatrixEvent[];
  readonly receipts: PushedReceipt[];
}

interface Intake {
  readonly rooms: ReadonlyMap<RoomId, RoomIntake>;
  /** Events and receipts that are not well-formed. */
  readonly dropped: number;
  /** The same for the same events and receipts, whatever else a repetition has changed (`age`, for one). */
  readonly fingerprint: string;
}

const anything = z.array(z.unknown()).optional().catch(undefined);

const transaction = z.object({
  events: anything,
  ephemeral: anything,
  /** Before MSC2409 was accepted. Synapse fills both keys with the same. */
  "de.sorunome.msc2409.ephemeral": anything,
});

/** Undefined for what is no transaction at all. */
export function readTransaction(body: unknown): Intake | undefined {
  const parsed = transaction.safeParse(body);
  if (!parsed.success) return undefined;
  const reading = new Reading();
  for (const event of parsed.data.events ?? []) reading.event(event);
  for (const key of ["ephemeral", "de.sorunome.msc2409.ephemeral"] as const) {
    for (const ephemeral of parsed.data[key] ?? []) reading.ephemeral(ephemeral);
  }
  return { rooms: reading.rooms, dropped: reading.dropped, fingerprint: reading.hash.digest("base64url") };
}

class Reading {
  readonly rooms = new Map<RoomId, RoomIntake>();
  readonly hash = createHash("sha256");
  dropped = 0;
  /** Receipts that are here already: an item that stands under both keys is taken once. */
  readonly #seen = new Set<string>();

  event(value: unknown): void {
    const { success, data: event } = matrixEvent.safeParse(value);
    if (!success || event.room_id === undefined) {
      this.dropped++;
      return;
    }
    this.hash.update(`${event.room_id} ${event.event_id}\n`);
    this.#room(event.room_id).events.push(pushedEvent(event));
  }

  ephemeral(value: unknown): void {
    if (!isObject(value) || value.type !== "m.receipt") return;
    const room = roomId.safeParse(value.room_id);
    if (!room.success || !isObject(value.content)) {
      this.dropped++;
      return;
    }
    for (const [event, types] of Object.entries(value.content)) {
      if (!isObject(types)) this.dropped++;
      else for (const type of [READ, READ_PRIVATE]) this.#receipts(room.data, event, type, types[type]);
    }
  }

  #receipts(room: RoomId, event: string, type: string, users: unknown): void {
    if (users === undefined) return;
    if (!isObject(users)) {
      this.dropped++;
      return;
    }
    for (const [user, data] of Object.entries(users)) {
      const { ts, thread_id } = isObject(data) ? data : {};
      const thread = thread_id === undefined ? { thread_known: false } : { thread_id };
      const receipt = receiptRequest.safeParse({ user_id: user, receipt_type: type, event_id: event, ts, ...thread });
      if (!receipt.success) {
        this.dropped++;
        continue;
      }
      const key = JSON.stringify([room, receipt.data]);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.hash.update(`${key}\n`);
      this.#room(room).receipts.push(receipt.data);
    }
  }

  #room(id: RoomId): RoomIntake {
    let room = this.rooms.get(id);
    if (room === undefined) {
      room = { events: [], receipts: [] };
      this.rooms.set(id, room);
    }
    return room;
  }
}

/** What belongs to one reader or one moment, and would be wrong for others and later. */
const PASSING = ["age", "transaction_id", "m.relations"];

/**
 * An event as a homeserver hands it to one reader, fit for all. What Tidemark can't carry (too large, too deep, numbers out
 * of range) is left out, `unsigned` first, then the content: the event keeps its place in the order all the same.
 */
export function pushedEvent(event: MatrixEvent): MatrixEvent {
  const { unsigned, ...bare } = event;
  const kept = Object.entries(unsigned ?? {}).filter(([key]) => !PASSING.includes(key));
  const whole = kept.length === 0 ? bare : { ...bare, unsigned: Object.fromEntries(kept) };
  return [whole, bare].find(isCarried) ?? { ...bare, content: {} };
}

/** It stands in an array when it goes to ingress, one level down. */
function isCarried(event: MatrixEvent): boolean {
  return jsonFault(event, 1) === undefined && Buffer.byteLength(JSON.stringify(event)) <= EVENT_BYTES_MAX;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
