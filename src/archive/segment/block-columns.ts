/**
 * A block of a segment: records that follow each other, as two parts that are compressed apart (docs/design.md#segments).
 *
 *     bodies    [places, lengths, entries]     entries of events, and erasures, each as in the log, with their places: one can be read alone
 *     columns   everything else: where each record is, its receipts, and what the fold made of each entry
 *
 * Receipts are taken apart into columns, since compression finds in each column what its values have in common. An event that
 * a receipt or a thread names stands as its distance in `bodies`, if it is there.
 *
 * Whatever the columns could not give back byte for byte stands in `bodies` as the message that it was: what is no record, the start
 * of a log, a record with an item that is no entry, or one that another encoder wrote.
 */
import * as z from "zod";
import { FULLY_READ, READ, READ_PRIVATE, type ReceiptType } from "../../matrix/receipt-types.ts";
import type { NotedOutcome } from "./entry-note.ts";

/** These numbers are stored, so they never change. */
export const TYPES: readonly ReceiptType[] = [READ, READ_PRIVATE, FULLY_READ];

/** The same. */
export const OUTCOMES: readonly NotedOutcome[] = [
  "noted",
  "ordered",
  "duplicate",
  "held",
  "advanced",
  "released",
  "stale",
  "wrong_thread",
  "acl_denied",
  "not_joined",
  "held_overflow",
  "erased",
];

/* Bits of an entry. Without `IS_RECEIPT` it is an event or an erasure. */
export const IS_RECEIPT = 0x40;
export const TYPE_BITS = 0x03;
export const IS_ACCEPTED = 0x04;
export const ORIGIN_FACTOR = 8;
export const ORIGIN_BITS = 0x03;
export const THREAD_FACTOR = 128;

/* The origin of a receipt. */
export const NO_ORIGIN = 0;
export const USERS_ORIGIN = 1;
export const OTHER_ORIGIN = 2;

/* The thread of a receipt. */
export const UNTHREADED = 0;
export const UNKNOWN = 1;
export const IN_MAIN = 2;
export const IN_THREAD = 3;

/* Bits of a note, above the outcome. */
export const NOTE_BITS = 0x0f;
export const IS_UNSETTLED = 0x10;
export const IS_IN_THREAD = 0x20;
/** The order is not given as a difference. */
export const IS_ABSOLUTE = 0x40;

/** A record of the columns is of a room; 0 stands for a message of `bodies`. */
export const MESSAGE = 0;

const column = z.custom<Uint8Array>((value) => value instanceof Uint8Array);

/** One message of MessagePack, before it is compressed. */
export const COLUMNS = z.object({
  rooms: z.array(z.string()),
  users: z.array(z.string()),
  /** Events that are not in `bodies`. */
  ids: z.array(z.string()),
  origins: z.array(z.string()),
  /** Of each record: what it is, its sequence, and of a room's record the time and the number of entries. */
  records: column,
  /** Of each entry: its kind, and a receipt's flags. */
  entries: column,
  receiptUsers: column,
  receiptEvents: column,
  receiptThreads: column,
  receiptTimes: column,
  receiptOrigins: column,
  notes: column,
  orders: column,
  threads: column,
});

export const BODIES = z.object({ places: column, lengths: column, bytes: column });

export type Columns = Readonly<z.infer<typeof COLUMNS>>;
export type Bodies = Readonly<z.infer<typeof BODIES>>;
