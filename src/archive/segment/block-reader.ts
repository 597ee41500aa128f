/** Reads a block back (`block-columns.ts`): all its records, or one event alone. */
import {
  type Entry,
  type ErasureEntry,
  type EventEntry,
  hasEvent,
  indexOf,
  type Order,
  type PlacedRecord,
  type Position,
  positionOf,
  RECEIPT,
  type ReceiptEntry,
  sequenceOf,
  UNKNOWN_THREAD,
} from "../../../actors/entry.ts";
import { decode } from "../../bus/contract/codec.ts";
import { recordIn } from "../../bus/log/log.ts";
import { MAIN } from "../../matrix/id-grammar.ts";
import { type EventId, type RoomId, type ServerName, serverOf, type ThreadId, type UserId } from "../../matrix/ids.ts";
import * as c from "./block-columns.ts";
import type { EntryNote } from "./entry-note.ts";
import { VarintReader } from "./varints.ts";

/** A message of the log as a segment has it. */
export interface SegmentMessage {
  readonly placed: PlacedRecord;
  /** One for each entry. */
  readonly notes: readonly EntryNote[];
}

/** Where a block belongs. */
export interface BlockPlace {
  readonly partition: number;
  /** The sequence of its first message. */
  readonly first: number;
}

/** Messages of the log that stand in `bodies` as they were. */
type StoredAsIs = readonly [subject: string, storedAt: number, data: Uint8Array];

/** Bodies with their positions. */
class BodyList {
  readonly #positions: Position[] = [];
  /** Where each begins; one more than there are bodies. */
  readonly #begins: number[] = [0];
  readonly #bytes: Uint8Array;

  constructor(part: Uint8Array, first: number) {
    const { places, lengths, bytes } = c.BODIES.parse(decode(part));
    const [place, length] = [new VarintReader(places), new VarintReader(lengths)];
    while (!place.isAtEnd) {
      this.#positions.push(positionOf(first, 0) + place.next());
      this.#begins.push(this.#begins.at(-1)! + length.next());
    }
    this.#bytes = bytes;
  }

  decoded(body: number): unknown {
    return decode(this.#bytes.subarray(this.#begins[body], this.#begins[body + 1]));
  }

  /** The last body at or before a position, with the position of it. */
  at(position: Position): { readonly body: number; readonly position: Position } | undefined {
    let [low, high] = [0, this.#positions.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#positions[middle]! <= position) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : { body: low - 1, position: this.#positions[low - 1]! };
  }
}

function messageOf(partition: number, sequence: number, body: unknown): PlacedRecord {
  const [subject, at, data] = body as StoredAsIs;
  return recordIn(partition, { subject, sequence, at, data, headers: undefined });
}

/** The event at a position; undefined if no event is there. `bodies`: that part, uncompressed. */
export function eventIn(bodies: Uint8Array, { partition, first }: BlockPlace, at: Position): EventEntry | undefined {
  const list = new BodyList(bodies, first);
  const found = list.at(at);
  if (found === undefined) return undefined;
  const body = list.decoded(found.body) as readonly unknown[];
  if (typeof body[0] === "number") return found.position === at ? eventOf(body as unknown as Entry) : undefined;
  const sequence = sequenceOf(at);
  if (sequenceOf(found.position) !== sequence) return undefined;
  const entry = messageOf(partition, sequence, body).record.entries[indexOf(at)];
  return entry === undefined || entry === null ? undefined : eventOf(entry);
}

function eventOf(entry: Entry): EventEntry | undefined {
  return hasEvent(entry) ? entry : undefined;
}

interface Parts {
  readonly bodies: Uint8Array;
  readonly columns: Uint8Array;
}

/** All messages of a block, in log order. */
export function* messagesIn(parts: Parts, place: BlockPlace): Generator<SegmentMessage> {
  const reader = new BlockReader(parts, place);
  while (!reader.isAtEnd) yield reader.next();
}

class BlockReader {
  readonly #place: BlockPlace;
  readonly #bodies: BodyList;
  readonly #columns: c.Columns;
  readonly #records: VarintReader;
  readonly #entries: VarintReader;
  readonly #receiptUsers: VarintReader;
  readonly #receiptEvents: VarintReader;
  readonly #receiptThreads: VarintReader;
  readonly #receiptTimes: VarintReader;
  readonly #receiptOrigins: VarintReader;
  readonly #notes: VarintReader;
  readonly #orders: VarintReader;
  readonly #threads: VarintReader;
  /** Of each body so far; undefined for one that is no event. */
  readonly #ids: (string | undefined)[] = [];
  readonly #newest = new Map<string, Order>();
  #sequence: number;
  #at = 0;

  constructor({ bodies, columns }: Parts, place: BlockPlace) {
    this.#place = place;
    this.#bodies = new BodyList(bodies, place.first);
    this.#columns = c.COLUMNS.parse(decode(columns));
    const { records, entries, receiptUsers, receiptEvents, receiptThreads } = this.#columns;
    const { receiptTimes, receiptOrigins, notes, orders, threads } = this.#columns;
    this.#records = new VarintReader(records);
    this.#entries = new VarintReader(entries);
    this.#receiptUsers = new VarintReader(receiptUsers);
    this.#receiptEvents = new VarintReader(receiptEvents);
    this.#receiptThreads = new VarintReader(receiptThreads);
    this.#receiptTimes = new VarintReader(receiptTimes);
    this.#receiptOrigins = new VarintReader(receiptOrigins);
    this.#notes = new VarintReader(notes);
    this.#orders = new VarintReader(orders);
    this.#threads = new VarintReader(threads);
    this.#sequence = place.first;
  }

  get isAtEnd(): boolean {
    return this.#records.isAtEnd;
  }

  next(): SegmentMessage {
    const { partition } = this.#place;
    const kind = this.#records.next();
    this.#sequence += this.#records.next();
    const sequence = this.#sequence;
    if (kind === c.MESSAGE) {
      const count = this.#records.next();
      const placed = messageOf(partition, sequence, this.#nextBody());
      return { placed, notes: this.#notesOf(placed.room ?? "", count) };
    }
    const room = this.#columns.rooms[kind - 1] as RoomId;
    this.#at += this.#records.nextSigned();
    const at = this.#at;
    const count = this.#records.next();
    const entries: Entry[] = [];
    for (let i = 0; i < count; i++) entries.push(this.#entry(at));
    const placed = { partition, room, record: { sequence, at, entries } };
    return { placed, notes: this.#notesOf(room, count) };
  }

  #nextBody(): unknown {
    const body = this.#bodies.decoded(this.#ids.length);
    this.#ids.push(undefined);
    return body;
  }

  #entry(at: number): Entry {
    const flags = this.#entries.next();
    if ((flags & c.IS_RECEIPT) !== 0) return this.#receipt(flags, at);
    const entry = this.#nextBody() as EventEntry | ErasureEntry;
    if (hasEvent(entry)) this.#ids[this.#ids.length - 1] = entry[1].event_id;
    return entry;
  }

  #receipt(flags: number, at: number): ReceiptEntry {
    const user = this.#columns.users[this.#receiptUsers.next()] as UserId;
    const type = c.TYPES[flags & c.TYPE_BITS]!;
    const event = this.#event(this.#receiptEvents.next());
    const thread = this.#threadOf(Math.floor(flags / c.THREAD_FACTOR));
    const ts = at - this.#receiptTimes.nextSigned();
    const origin = this.#originOf(Math.floor(flags / c.ORIGIN_FACTOR) & c.ORIGIN_BITS, user);
    const receipt = [RECEIPT, user, type, event, thread, ts, origin] as const;
    return (flags & c.IS_ACCEPTED) === 0 ? receipt : [...receipt, true];
  }

  #threadOf(kind: number): ReceiptEntry[4] {
    if (kind === c.UNTHREADED) return null;
    if (kind === c.UNKNOWN) return UNKNOWN_THREAD;
    return kind === c.IN_MAIN ? MAIN : this.#event(this.#receiptThreads.next());
  }

  #originOf(kind: number, user: UserId): ServerName | null {
    if (kind === c.NO_ORIGIN) return null;
    if (kind === c.USERS_ORIGIN) return serverOf(user);
    return this.#columns.origins[this.#receiptOrigins.next()] as ServerName;
  }

  #event(reference: number): EventId {
    const half = Math.floor(reference / 2);
    const id = reference % 2 === 1 ? this.#columns.ids[half] : this.#ids[this.#ids.length - half];
    if (id === undefined) throw new RangeError("an event is named that is not there");
    return id as EventId;
  }

  #notesOf(room: string, count: number): EntryNote[] {
    return Array.from({ length: count }, () => this.#note(room));
  }

  #note(room: string): EntryNote {
    const bits = this.#notes.next();
    const outcome = c.OUTCOMES[bits & c.NOTE_BITS]!;
    if (outcome !== "ordered" && outcome !== "duplicate") return { outcome };
    const order = this.#orders.nextSigned() + ((bits & c.IS_ABSOLUTE) === 0 ? (this.#newest.get(room) ?? 0) : 0);
    this.#newest.set(room, order);
    if (outcome === "duplicate") return { outcome, order };
    const thread: ThreadId = (bits & c.IS_IN_THREAD) === 0 ? MAIN : this.#event(this.#threads.next());
    return (bits & c.IS_UNSETTLED) === 0 ? { outcome, order, thread } : { outcome, order, thread, unsettled: true };
  }
}
