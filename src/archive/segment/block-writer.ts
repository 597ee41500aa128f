/** Gathers records for a block (`block-columns.ts`). */
import {
  type Entry,
  hasEvent,
  type Order,
  type PlacedRecord,
  positionOf,
  RECEIPT,
  type ReceiptEntry,
  UNKNOWN_THREAD,
} from "../../../actors/entry.ts";
import { encode, encodeWhole } from "../../bus/contract/codec.ts";
import { recordHead } from "../../bus/contract/record.ts";
import { MAIN } from "../../matrix/id-grammar.ts";
import { serverOf } from "../../matrix/ids.ts";
import * as c from "./block-columns.ts";
import type { EntryNote } from "./entry-note.ts";
import { entriesAt } from "./record-items.ts";
import { VarintWriter } from "./varints.ts";

/** A message of the log, with what it says and what the fold made of each of its entries. */
export interface ArchivedMessage {
  readonly placed: PlacedRecord;
  readonly subject: string;
  /** When the broker stored it: Unix time in ms. */
  readonly storedAt: number;
  readonly data: Uint8Array;
  /** One for each entry. */
  readonly notes: readonly EntryNote[];
}

/** Texts by number, in the order in which they came. */
class Texts {
  readonly all: string[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.all.length);
    return this.all.push(text) - 1;
  }
}

/** What both parts say, uncompressed. */
export interface EncodedBlock {
  readonly bodies: Uint8Array;
  readonly columns: Uint8Array;
}

export class BlockWriter {
  readonly #first: number;
  readonly #rooms = new Texts();
  readonly #users = new Texts();
  readonly #ids = new Texts();
  readonly #origins = new Texts();
  readonly #records = new VarintWriter();
  readonly #entries = new VarintWriter();
  readonly #receiptUsers = new VarintWriter();
  readonly #receiptEvents = new VarintWriter();
  readonly #receiptThreads = new VarintWriter();
  readonly #receiptTimes = new VarintWriter();
  readonly #receiptOrigins = new VarintWriter();
  readonly #notes = new VarintWriter();
  readonly #orders = new VarintWriter();
  readonly #threads = new VarintWriter();
  readonly #places = new VarintWriter();
  readonly #lengths = new VarintWriter();
  readonly #bodies: Uint8Array[] = [];
  /** The number of a body, by its event. */
  readonly #bodyOf = new Map<string, number>();
  /** The newest order of each room. */
  readonly #newest = new Map<string, Order>();
  #sequence: number;
  #at = 0;
  #bytes = 0;

  /** `first`: the sequence of the first message. */
  constructor(first: number) {
    this.#first = first;
    this.#sequence = first;
  }

  /** Bytes of messages so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Messages come in log order. */
  add(message: ArchivedMessage): void {
    const { placed, data, notes } = message;
    const { sequence } = placed.record;
    const parts = partsOf(message);
    if (parts === undefined) this.#addMessage(message);
    else this.#addRecord(placed.room!, { at: placed.record.at, sequence, parts });
    for (const note of notes) this.#note(placed.room ?? "", note);
    this.#sequence = sequence;
    this.#bytes += data.length;
  }

  finish(): EncodedBlock {
    const bytes = Buffer.concat(this.#bodies);
    const bodies: c.Bodies = { places: this.#places.bytes(), lengths: this.#lengths.bytes(), bytes };
    const columns: c.Columns = {
      rooms: this.#rooms.all,
      users: this.#users.all,
      ids: this.#ids.all,
      origins: this.#origins.all,
      records: this.#records.bytes(),
      entries: this.#entries.bytes(),
      receiptUsers: this.#receiptUsers.bytes(),
      receiptEvents: this.#receiptEvents.bytes(),
      receiptThreads: this.#receiptThreads.bytes(),
      receiptTimes: this.#receiptTimes.bytes(),
      receiptOrigins: this.#receiptOrigins.bytes(),
      notes: this.#notes.bytes(),
      orders: this.#orders.bytes(),
      threads: this.#threads.bytes(),
    };
    return { bodies: encode(bodies), columns: encode(columns) };
  }

  #addMessage({ placed, subject, storedAt, data, notes }: ArchivedMessage): void {
    const { sequence } = placed.record;
    this.#records.add(c.MESSAGE);
    this.#records.add(sequence - this.#sequence);
    this.#records.add(notes.length);
    this.#addBody(positionOf(sequence, 0), encode([subject, storedAt, data]));
  }

  #addRecord(room: string, { sequence, at, parts }: { sequence: number; at: number; parts: readonly Part[] }): void {
    this.#records.add(1 + this.#rooms.numberOf(room));
    this.#records.add(sequence - this.#sequence);
    this.#records.addSigned(at - this.#at);
    this.#records.add(parts.length);
    this.#at = at;
    for (const [index, { entry, bytes }] of parts.entries()) {
      if (entry[0] === RECEIPT) {
        this.#addReceipt(entry, at);
        continue;
      }
      this.#entries.add(entry[0]);
      if (hasEvent(entry)) this.#bodyOf.set(entry[1].event_id, this.#bodies.length);
      this.#addBody(positionOf(sequence, index), bytes);
    }
  }

  #addBody(position: number, bytes: Uint8Array): void {
    this.#places.add(position - positionOf(this.#first, 0));
    this.#lengths.add(bytes.length);
    this.#bodies.push(bytes);
  }

  #addReceipt([, user, type, event, thread, ts, origin, accepted]: ReceiptEntry, at: number): void {
    const from = origin === null ? c.NO_ORIGIN : origin === serverOf(user) ? c.USERS_ORIGIN : c.OTHER_ORIGIN;
    const inThread = threadKind(thread);
    const flags = c.TYPES.indexOf(type) + (accepted === true ? c.IS_ACCEPTED : 0) + from * c.ORIGIN_FACTOR;
    this.#entries.add(flags + c.IS_RECEIPT + inThread * c.THREAD_FACTOR);
    this.#receiptUsers.add(this.#users.numberOf(user));
    this.#receiptEvents.add(this.#reference(event));
    if (inThread === c.IN_THREAD) this.#receiptThreads.add(this.#reference(thread!));
    this.#receiptTimes.addSigned(at - ts);
    if (from === c.OTHER_ORIGIN) this.#receiptOrigins.add(this.#origins.numberOf(origin!));
  }

  /** Even: how many bodies ago the event is. Odd: its number in `ids`. */
  #reference(event: string): number {
    const body = this.#bodyOf.get(event);
    return body === undefined ? 2 * this.#ids.numberOf(event) + 1 : 2 * (this.#bodies.length - body);
  }

  #note(room: string, note: EntryNote): void {
    const outcome = c.OUTCOMES.indexOf(note.outcome);
    if (note.outcome !== "ordered" && note.outcome !== "duplicate") {
      this.#notes.add(outcome);
      return;
    }
    const { order } = note;
    const newest = this.#newest.get(room) ?? 0;
    const isAbsolute = !Number.isSafeInteger(order - newest);
    this.#newest.set(room, order);
    this.#orders.addSigned(isAbsolute ? order : order - newest);
    const bits = outcome + (isAbsolute ? c.IS_ABSOLUTE : 0);
    if (note.outcome === "duplicate") {
      this.#notes.add(bits);
      return;
    }
    const { thread, unsettled } = note;
    this.#notes.add(bits + (unsettled === true ? c.IS_UNSETTLED : 0) + (thread === MAIN ? 0 : c.IS_IN_THREAD));
    if (thread !== MAIN) this.#threads.add(this.#reference(thread));
  }
}

interface Part {
  readonly entry: Entry;
  readonly bytes: Uint8Array;
}

/** The entries of a record that the columns give back byte for byte; undefined for any other message. */
function partsOf({ placed: { room, record, start, stray }, data }: ArchivedMessage): readonly Part[] | undefined {
  if (room === undefined || start !== undefined || stray !== undefined) return undefined;
  if (!Number.isSafeInteger(record.at) || record.at < 0 || !areEntries(record.entries)) return undefined;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  const places = entriesAt(bytes);
  if (places?.length !== record.entries.length + 1) return undefined;
  if (!bytes.subarray(0, places[0]).equals(recordHead(record.at, record.entries))) return undefined;
  const parts: Part[] = [];
  for (const [i, entry] of record.entries.entries()) {
    const own = bytes.subarray(places[i], places[i + 1]);
    if (entry[0] === RECEIPT && !own.equals(encodeWhole(entry))) return undefined;
    parts.push({ entry, bytes: own });
  }
  return parts;
}

function areEntries(entries: readonly (Entry | null)[]): entries is readonly Entry[] {
  return !entries.includes(null);
}

function threadKind(thread: ReceiptEntry[4]): number {
  if (thread === null) return c.UNTHREADED;
  if (thread === UNKNOWN_THREAD) return c.UNKNOWN;
  return thread === MAIN ? c.IN_MAIN : c.IN_THREAD;
}
