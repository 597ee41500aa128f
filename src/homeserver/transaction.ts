/**
 * Converts a transaction that a homeserver pushes (Matrix specification, application service API, "Pushing events";
 * MSC2409 for `ephemeral`) into requests to ingress.
 *
 * A homeserver retries a transaction until it is accepted, so no content may cause a refusal. Any JSON is a transaction:
 * malformed parts of it are left out and counted, each alone; other types of ephemeral data are ignored.
 *
 * A transaction may have 32 MiB, of which `JSON.parse` would make values for seconds. So only its smallest parts are parsed:
 * events, and the data of receipts. Of an event that is too large even for that, only what the fold reads is.
 */
import { createHash } from "node:crypto";
import type * as z from "zod";
import { fittedEvent } from "../bus/contract/event-size.ts";
import { type OnPruned, prunedEvent } from "../bus/contract/pruning.ts";
import { receiptRequest } from "../bus/contract/requests.ts";
import { TidemarkError } from "../errors.ts";
import { inSlices, type Steps } from "../in-slices.ts";
import { READ_OF_EVENTS, type ReadKeys } from "../matrix/essential.ts";
import { type MatrixEvent, matrixEvent } from "../matrix/event.ts";
import { ID_SEPARATOR, isName } from "../matrix/id-grammar.ts";
import { type RoomId, roomId, type ServerName, serverOf, type UserId } from "../matrix/ids.ts";
import { sentReceiptData } from "../matrix/receipt.ts";
import { RECEIPT_TYPES, shownAs } from "../matrix/receipt-types.ts";
import { type JsonPart, JsonText } from "./json-text.ts";
import { LargeMap } from "./large-map.ts";

export type PushedReceipt = z.infer<typeof receiptRequest>;

/** Receipts by room. */
export type PushedReceipts = ReadonlyMap<RoomId, readonly PushedReceipt[]>;

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

const EVENTS_KEY = "events";
/** The second is the unstable name. Synapse sends both keys, with the same content. */
const EPHEMERAL_KEYS = ["ephemeral", "de.sorunome.msc2409.ephemeral"];

interface TransactionOptions {
  /** The servers whose users are local. If none is known, all are. */
  readonly localServers: ReadonlySet<ServerName>;
  /** Called for every value of an event that is not stored. */
  readonly onPruned: OnPruned;
  /** One that never runs backwards, in ms. */
  readonly clock?: { readonly now: () => number };
}

/**
 * Reads in slices, so that no turn of the event loop is long, whatever a transaction has. Throws `M_BAD_JSON` if the body is not
 * JSON, after any byte order mark.
 */
export async function readTransaction(
  body: Buffer,
  { localServers, onPruned, clock }: TransactionOptions,
): Promise<Transaction> {
  const reader = new TransactionReader(new JsonText(body), { localServers, onPruned });
  await inSlices(reader.read(), clock);
  return { rooms: reader.rooms, malformed: reader.malformed, fingerprint: reader.hash.digest("base64url") };
}

class TransactionReader {
  readonly rooms = new Map<RoomId, PushedRoom>();
  readonly hash = createHash("sha256");
  malformed = 0;
  readonly #text: JsonText;
  /** Receipts that were read already: an item may be under both keys. */
  readonly #seen = new LargeMap<string, true>();
  readonly #localServers: ReadonlySet<ServerName>;
  readonly #onPruned: OnPruned;

  constructor(text: JsonText, { localServers, onPruned }: TransactionOptions) {
    this.#text = text;
    this.#localServers = localServers;
    this.#onPruned = onPruned;
  }

  *read(): Steps<void> {
    const body = yield* this.#checked();
    if (!this.#text.isMap(body)) {
      this.malformed++;
      return;
    }
    const members = yield* this.#text.named(body, [EVENTS_KEY, ...EPHEMERAL_KEYS]);
    yield* this.#items(members.get(EVENTS_KEY), (item) => this.#event(item));
    for (const key of EPHEMERAL_KEYS) yield* this.#items(members.get(key), (item) => this.#ephemeral(item));
  }

  *#checked(): Steps<JsonPart> {
    try {
      return yield* this.#text.check();
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause;
      throw new TidemarkError("M_BAD_JSON", "the transaction is not JSON", { cause });
    }
  }

  *#items(list: JsonPart | undefined, each: (item: JsonPart) => Steps<void>): Steps<void> {
    if (list === undefined) return;
    if (this.#text.isArray(list)) yield* this.#text.items(list, each);
    else if (this.#text.value(list) !== null) this.malformed++;
  }

  *#event(item: JsonPart): Steps<void> {
    const value = yield* this.#eventValue(item);
    yield;
    const event = pushedEvent(value, this.#onPruned);
    if (event?.room_id === undefined) {
      this.malformed++;
      return;
    }
    this.hash.update(`${event.room_id}${ID_SEPARATOR}${event.event_id}${ID_SEPARATOR}`);
    this.#room(event.room_id).events.push(event);
  }

  /** An event, or what is read of it. Its content is whole if that is small enough. */
  *#eventValue(item: JsonPart): Steps<unknown> {
    if (this.#text.isSmall(item) || !this.#text.isMap(item)) return this.#text.value(item);
    this.#onPruned("size");
    const event: Record<string, unknown> = {};
    for (const [key, member] of yield* this.#text.named(item, Object.keys(READ_OF_EVENTS))) {
      event[key] = yield* this.#readValue(member, READ_OF_EVENTS[key]!);
    }
    return event;
  }

  /** Returns a map without anything if one of its keys that are read is too large: half of a server ACL is another one. */
  *#readValue(part: JsonPart, keys: ReadKeys): Steps<unknown> {
    if (this.#text.isSmall(part) || !this.#text.isMap(part)) return this.#text.value(part);
    const read: Record<string, unknown> = {};
    for (const [key, member] of yield* this.#text.named(part, Object.keys(keys))) {
      read[key] = yield* this.#readValue(member, keys[key]!);
      if (read[key] === undefined) return {};
    }
    return read;
  }

  *#ephemeral(item: JsonPart): Steps<void> {
    if (!this.#text.isMap(item)) return;
    const members = yield* this.#text.named(item, ["type", "room_id", "content"]);
    if (this.#valueOf(members.get("type")) !== "m.receipt") return;
    const room = roomId.safeParse(this.#valueOf(members.get("room_id")));
    const content = members.get("content");
    if (!room.success || content === undefined || !this.#text.isMap(content)) {
      this.malformed++;
      return;
    }
    for (const [event, types] of yield* this.#text.members(content)) {
      if (this.#text.isMap(types)) yield* this.#receiptsOn(room.data, event, types);
      else this.malformed++;
      yield;
    }
  }

  *#receiptsOn(room: RoomId, event: string, types: JsonPart): Steps<void> {
    const members = yield* this.#text.named(types, IN_RECEIPT_EVENTS);
    for (const type of IN_RECEIPT_EVENTS) {
      const users = members.get(type);
      if (users === undefined) continue;
      if (!this.#text.isMap(users)) {
        this.malformed++;
        continue;
      }
      for (const [user, data] of yield* this.#text.members(users)) {
        this.#receipt(room, { event_id: event, receipt_type: type, user_id: user }, this.#text.value(data));
        yield;
      }
    }
  }

  #receipt(room: RoomId, ids: Record<"event_id" | "receipt_type" | "user_id", string>, data: unknown): void {
    const { ts, thread_id } = sentReceiptData(data);
    const thread = thread_id === undefined ? { thread_known: false } : { thread_id };
    const parsed = receiptRequest.safeParse({ ...ids, ts, ...thread });
    if (!parsed.success) {
      this.malformed++;
      return;
    }
    const receipt = this.#isRemote(parsed.data.user_id) ? { ...parsed.data, remote: true as const } : parsed.data;
    const key = JSON.stringify([room, receipt]);
    if (this.#seen.has(key)) return;
    this.#seen.set(key, true);
    this.hash.update(`${key}\n`);
    this.#room(room).receipts.push(receipt);
  }

  #isRemote(user: UserId): boolean {
    return this.#localServers.size > 0 && !this.#localServers.has(serverOf(user));
  }

  #valueOf(part: JsonPart | undefined): unknown {
    return part === undefined ? undefined : this.#text.value(part);
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
