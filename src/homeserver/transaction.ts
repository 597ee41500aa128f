/**
 * Converts a transaction that a homeserver pushes (Matrix specification, application service API, "Pushing events";
 * MSC2409 for `ephemeral`) into requests to ingress.
 *
 * A homeserver retries a transaction until it is accepted, so no content may cause a refusal. Any JSON is a transaction:
 * malformed parts of it are left out and counted, each alone; other types of ephemeral data are ignored.
 */
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import type * as z from "zod";
import { fittedEvent } from "../bus/contract/event-size.ts";
import { type OnPruned, prunedEvent } from "../bus/contract/pruning.ts";
import { receiptRequest } from "../bus/contract/requests.ts";
import { type MatrixEvent, matrixEvent } from "../matrix/event.ts";
import { ID_SEPARATOR, isName } from "../matrix/id-grammar.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { sentReceiptData } from "../matrix/receipt.ts";
import { RECEIPT_TYPES, shownAs } from "../matrix/receipt-types.ts";

type PushedReceipt = z.infer<typeof receiptRequest>;

/** The events and receipts of one room. */
export interface PushedRoom {
  /** In the order of the homeserver. */
  readonly events: MatrixEvent[];
  readonly receipts: PushedReceipt[];
}

interface Transaction {
  readonly rooms: ReadonlyMap<RoomId, PushedRoom>;
  /** The number of malformed parts, which are left out. */
  readonly malformed: number;
  /**
   * A hash of the events and receipts. A retry has the same one, although it may differ elsewhere (such as in `age`).
   */
  readonly fingerprint: string;
}

/** The types that `m.receipt` may contain. */
const IN_RECEIPT_EVENTS = RECEIPT_TYPES.filter((type) => shownAs(type) === "m.receipt");

/** The second is the unstable name. Synapse sends both keys, with the same content. */
const EPHEMERAL_KEYS = ["ephemeral", "de.sorunome.msc2409.ephemeral"];

/**
 * Reads in slices, so that no turn of the event loop is long, whatever a transaction has. `onPruned`: called for every value of an
 * event that is not stored.
 */
export async function readTransaction(body: unknown, onPruned: OnPruned): Promise<Transaction> {
  const reader = new TransactionReader(onPruned);
  let read = 0;
  for (const _ of reader.parts(body)) if (++read % SLICE_PARTS === 0) await nextTurn();
  return { rooms: reader.rooms, malformed: reader.malformed, fingerprint: reader.hash.digest("base64url") };
}

/** Events, and receipts, that are read in one turn of the event loop. */
const SLICE_PARTS = 128;

class TransactionReader {
  readonly rooms = new Map<RoomId, PushedRoom>();
  readonly hash = createHash("sha256");
  malformed = 0;
  /** Receipts that were read already: an item may be under both keys. */
  readonly #seen = new Set<string>();
  readonly #onPruned: OnPruned;

  constructor(onPruned: OnPruned) {
    this.#onPruned = onPruned;
  }

  /** Reads a part whenever it is asked for the next. */
  *parts(body: unknown): Generator<void> {
    if (!isObject(body)) {
      this.malformed++;
      return;
    }
    for (const event of this.#items(body.events)) yield this.#event(event);
    for (const key of EPHEMERAL_KEYS) for (const item of this.#items(body[key])) yield* this.#ephemeral(item);
  }

  #items(value: unknown): readonly unknown[] {
    if (Array.isArray(value)) return value;
    if (value !== undefined && value !== null) this.malformed++;
    return [];
  }

  #event(value: unknown): void {
    const event = pushedEvent(value, this.#onPruned);
    if (event?.room_id === undefined) {
      this.malformed++;
      return;
    }
    this.hash.update(`${event.room_id}${ID_SEPARATOR}${event.event_id}${ID_SEPARATOR}`);
    this.#room(event.room_id).events.push(event);
  }

  *#ephemeral(value: unknown): Generator<void> {
    yield;
    if (!isObject(value) || value.type !== "m.receipt") return;
    const room = roomId.safeParse(value.room_id);
    if (!room.success || !isObject(value.content)) {
      this.malformed++;
      return;
    }
    for (const [event, types] of Object.entries(value.content)) {
      yield;
      if (!isObject(types)) this.malformed++;
      else for (const type of IN_RECEIPT_EVENTS) yield* this.#receipts(room.data, event, type, types[type]);
    }
  }

  *#receipts(room: RoomId, event: string, type: string, users: unknown): Generator<void> {
    if (users === undefined) return;
    if (!isObject(users)) {
      this.malformed++;
      return;
    }
    for (const user of Object.keys(users)) {
      yield;
      const { ts, thread_id } = sentReceiptData(users[user]);
      const thread = thread_id === undefined ? { thread_known: false } : { thread_id };
      const receipt = receiptRequest.safeParse({ user_id: user, receipt_type: type, event_id: event, ts, ...thread });
      if (!receipt.success) {
        this.malformed++;
        continue;
      }
      const key = JSON.stringify([room, receipt.data]);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.hash.update(`${key}\n`);
      this.#room(room).receipts.push(receipt.data);
    }
  }

  #room(id: RoomId): PushedRoom {
    let room = this.rooms.get(id);
    if (room === undefined) {
      room = { events: [], receipts: [] };
      this.rooms.set(id, room);
    }
    return room;
  }
}

/** Keys of `unsigned` that are only valid for one reader, or at one time. */
const TRANSIENT_KEYS = ["age", "transaction_id", "m.relations"];

/** The nesting of an event in a request: it is an item of an array. */
const EVENT_DEPTH = 1;

/**
 * Returns an event as it is stored: without the keys of `unsigned` that only concern one reader, and without what can't be
 * stored. Whatever has an id, a room, a sender and a type has its place in the order. Otherwise returns undefined.
 */
export function pushedEvent(value: unknown, onPruned: OnPruned): MatrixEvent | undefined {
  if (!isObject(value)) return undefined;
  const { success, data } = matrixEvent.safeParse(withValidFields(prunedEvent(value, EVENT_DEPTH, onPruned), onPruned));
  if (!success) return undefined;
  const { unsigned, ...bare } = data;
  const lasting = Object.entries(unsigned ?? {}).filter(([key]) => !TRANSIENT_KEYS.includes(key));
  return fittedEvent(lasting.length === 0 ? bare : { ...bare, unsigned: Object.fromEntries(lasting) }, onPruned);
}

/** What a field becomes that is not of its type, or a state key that is none. Those that name something can't be repaired. */
const REPAIRS: Readonly<Record<string, { readonly isValid: (value: unknown) => boolean; readonly repaired: unknown }>> =
  {
    content: { isValid: isObject, repaired: {} },
    origin_server_ts: { isValid: (value) => typeof value === "number", repaired: 0 },
    state_key: {
      isValid: (value) => (typeof value === "string" ? isName(value) : value === undefined || value === null),
      repaired: null,
    },
    unsigned: { isValid: (value) => isObject(value) || value === undefined || value === null, repaired: null },
  };

function withValidFields(event: Record<string, unknown>, onPruned: OnPruned): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const [field, { isValid, repaired }] of Object.entries(REPAIRS)) {
    if (isValid(event[field])) continue;
    onPruned("field");
    copy ??= { ...event };
    copy[field] = repaired;
  }
  return copy ?? event;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
