/**
 * Receipts of a request → entries of the log, from bytes to bytes: nearly every receipt is a local user's, in MessagePack, with the
 * values that are stored, and ids of ASCII. Such ones are checked and copied in one pass, without an object.
 *
 * Whatever else comes is not *plain*, and goes through the schema (`validate.ts`), which accepts more and says what is wrong. So
 * nothing is refused here, and what is accepted becomes the same bytes either way (`test/ingress/plain-receipts.test.ts`).
 */
import { RECEIPT } from "../../actors/entry.ts";
import { type EncodedEntries, FIRST_RECORD_VERSION } from "../bus/contract/record.ts";
import { ENTRIES_PER_RECORD_MAX, ID_CHARS_MAX } from "../limits.ts";
import { MAIN } from "../matrix/id-grammar.ts";
import { isThreaded, RECEIPT_TYPES } from "../matrix/receipt-types.ts";

const NOT_PLAIN = -1;

const KEYS = ["user_id", "receipt_type", "event_id", "thread_id", "ts"] as const;
const [USER, TYPE, EVENT, THREAD, TS] = [0, 1, 2, 3, 4] as const;

/** MessagePack: the first bytes of values, and what they say. */
const FIX_MAP = 0x80;
const FIX_ARRAY = 0x90;
const FIX_STRING = 0xa0;
const FIX_STRING_MAX = 0x1f;
const NIL = 0xc0;
const FLOAT_64 = 0xcb;
const UINT_64 = 0xcf;
const STRING_8 = 0xd9;
const ARRAY_16 = 0xdc;

/** An entry is at most so much longer than its receipt: two tokens before its values, and a time, a thread and an origin. */
const GROWTH_MAX = 2 + 9 + 1 + 1;
const ENTRY_ITEMS = 7;
/** Smaller times are stored in a shorter form. */
const LONG_TIME_MIN = 2 ** 32;

const text = (of: string) => Uint8Array.from(Buffer.from(of));
/** The lengths of the keys differ. */
const KEY_OF_LENGTH = Array.from({ length: FIX_STRING_MAX + 1 }, (_, length) => {
  const index = KEYS.findIndex((key) => key.length === length);
  return index < 0 ? undefined : { index, bytes: text(KEYS[index]!) };
});
const TYPES = RECEIPT_TYPES.map((type) => ({ bytes: text(type), isThreaded: isThreaded(type) }));
const MAIN_BYTES = text(MAIN);

/** What a byte may be part of, in ASCII. */
const IN_ID = 1;
const IN_NAME = 2;
const IN_ADDRESS = 4;
const DIGIT = 8;
const CLASSES = Uint8Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  const is = (pattern: RegExp, what: number) => (pattern.test(char) ? what : 0);
  return (
    (byte > 0 && byte < 0x80 ? IN_ID : 0) |
    is(/[A-Za-z0-9.-]/, IN_NAME) |
    is(/[0-9A-Fa-f:.]/, IN_ADDRESS) |
    is(/[0-9]/, DIGIT)
  );
});
const AT = 0x40;
const COLON = 0x3a;
const DOLLAR = 0x24;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const PORT_DIGITS_MAX = 5;

/** Where each value of a receipt begins, by key; 0: it has none. */
const values = new Int32Array(KEYS.length);

/** The entries of a `tidemark.in.receipt` request; undefined if it isn't plain. `arrived`: Unix time in ms. */
export function plainReceipts(request: Uint8Array, arrived: number): EncodedEntries | undefined {
  if (arrived < LONG_TIME_MIN || request.length < ENTRY_ITEMS) return undefined;
  const first = request[0]!;
  let count = 1;
  let at = 0;
  if (first === ARRAY_16) {
    count = (request[1]! << 8) | request[2]!;
    at = 3;
  } else if (first >= FIX_ARRAY && first < FIX_STRING) {
    count = first - FIX_ARRAY;
    at = 1;
  }
  if (count === 0 || count > ENTRIES_PER_RECORD_MAX) return undefined;
  const entries = new Entries(request, count);
  for (let i = 0; i < count; i++) {
    at = receiptEnd(request, at);
    if (at < 0 || !entries.add(arrived)) return undefined;
  }
  if (at !== request.length) return undefined;
  return { bytes: entries.written, count, version: FIRST_RECORD_VERSION, isReceipts: true };
}

/** Finds the values of a receipt. Returns where it ends. */
function receiptEnd(request: Uint8Array, start: number): number {
  values.fill(0);
  const pairs = request[start]! - FIX_MAP;
  if (!(pairs >= 0 && pairs <= KEYS.length)) return NOT_PLAIN;
  let at = start + 1;
  for (let pair = 0; pair < pairs; pair++) {
    const key = KEY_OF_LENGTH[request[at]! - FIX_STRING];
    if (key === undefined || values[key.index] !== 0 || !equals(request, at + 1, key.bytes)) return NOT_PLAIN;
    at += 1 + key.bytes.length;
    values[key.index] = at;
    at = valueEnd(request, at);
    if (at < 0) return NOT_PLAIN;
  }
  return at;
}

function valueEnd(request: Uint8Array, at: number): number {
  const first = request[at]!;
  let end = at + 1;
  if (isFixString(first)) end += first - FIX_STRING;
  else if (first === STRING_8) end += 1 + request[at + 1]!;
  else if (first === FLOAT_64 || first === UINT_64) end += 8;
  else if (first !== NIL) return NOT_PLAIN;
  return end <= request.length ? end : NOT_PLAIN;
}

/** The entries that are written. */
class Entries {
  readonly #request: Uint8Array;
  readonly #out: Buffer;
  #at = 0;

  constructor(request: Uint8Array, count: number) {
    this.#request = request;
    this.#out = Buffer.allocUnsafe(request.length + count * GROWTH_MAX);
  }

  get written(): Uint8Array {
    return this.#out.subarray(0, this.#at);
  }

  /** Adds the receipt that was found. Returns false if it isn't plain. */
  add(arrived: number): boolean {
    const request = this.#request;
    const [user, type, event] = [values[USER]!, values[TYPE]!, values[EVENT]!];
    const threadAt = values[THREAD]!;
    const thread = threadAt === 0 || request[threadAt] === NIL ? 0 : threadAt;
    const ts = this.#time(values[TS]!, arrived);
    if (user === 0 || type === 0 || event === 0 || Number.isNaN(ts)) return false;
    if (!isUser(request, user) || !isEvent(request, event)) return false;
    const known = typeAt(request, type);
    if (known === undefined) return false;
    if (thread !== 0 && !(known.isThreaded && isThread(request, thread))) return false;

    const out = this.#out;
    out[this.#at++] = FIX_ARRAY + ENTRY_ITEMS;
    out[this.#at++] = RECEIPT;
    this.#copy(user);
    this.#copy(type);
    this.#copy(event);
    if (thread === 0) out[this.#at++] = NIL;
    else this.#copy(thread);
    out[this.#at++] = FLOAT_64;
    this.#at = out.writeDoubleBE(ts, this.#at);
    out[this.#at++] = NIL; // The origin.
    return true;
  }

  /** NaN: it isn't plain. */
  #time(at: number, arrived: number): number {
    if (at === 0 || this.#request[at] === NIL) return arrived;
    const first = this.#request[at];
    if (first !== FLOAT_64 && first !== UINT_64) return Number.NaN;
    const { buffer, byteOffset } = this.#request;
    const view = new DataView(buffer, byteOffset + at + 1);
    const ts = first === FLOAT_64 ? view.getFloat64(0) : Number(view.getBigUint64(0));
    return Number.isSafeInteger(ts) && ts >= LONG_TIME_MIN ? ts : Number.NaN;
  }

  /** A text, in the shortest form. */
  #copy(from: number): void {
    const request = this.#request;
    const out = this.#out;
    const end = textEnd(request, from);
    let read = textStart(request, from);
    let at = this.#at;
    if (end - read > FIX_STRING_MAX) {
      out[at++] = STRING_8;
      out[at++] = end - read;
    } else {
      out[at++] = FIX_STRING + end - read;
    }
    while (read < end) out[at++] = request[read++]!;
    this.#at = at;
  }
}

function isFixString(first: number): boolean {
  return first >= FIX_STRING && first <= FIX_STRING + FIX_STRING_MAX;
}

function textStart(request: Uint8Array, at: number): number {
  return isFixString(request[at]!) ? at + 1 : at + 2;
}

/** Where a text ends; 0 for a value that is none. */
function textEnd(request: Uint8Array, at: number): number {
  const first = request[at]!;
  if (isFixString(first)) return at + 1 + first - FIX_STRING;
  return first === STRING_8 ? at + 2 + request[at + 1]! : 0;
}

function isText(request: Uint8Array, at: number, expected: Uint8Array): boolean {
  const start = textStart(request, at);
  return textEnd(request, at) - start === expected.length && equals(request, start, expected);
}

function typeAt(request: Uint8Array, at: number) {
  for (const type of TYPES) if (isText(request, at, type.bytes)) return type;
  return undefined;
}

function isThread(request: Uint8Array, at: number): boolean {
  return isText(request, at, MAIN_BYTES) || isEvent(request, at);
}

/** As `isEventId` says. */
function isEvent(request: Uint8Array, at: number): boolean {
  const [start, end] = [textStart(request, at), textEnd(request, at)];
  if (end - start < 2 || end - start > ID_CHARS_MAX || request[start] !== DOLLAR) return false;
  return spanEnd(request, start, { end, what: IN_ID }) === end;
}

/** As `isUserId` says. */
function isUser(request: Uint8Array, at: number): boolean {
  const [start, end] = [textStart(request, at), textEnd(request, at)];
  if (end - start > ID_CHARS_MAX || request[start] !== AT) return false;
  let server = start;
  while (server < end && request[server] !== COLON) server++;
  if (server >= end || spanEnd(request, start, { end: server, what: IN_ID }) !== server) return false;
  return isServer(request, server + 1, end);
}

/** As `isServerName` says. */
function isServer(request: Uint8Array, start: number, end: number): boolean {
  let host: number;
  if (request[start] === OPEN_BRACKET) {
    host = spanEnd(request, start + 1, { end, what: IN_ADDRESS });
    if (host === start + 1 || host >= end || request[host] !== CLOSE_BRACKET) return false;
    host++;
  } else {
    host = spanEnd(request, start, { end, what: IN_NAME });
    if (host === start) return false;
  }
  if (host === end) return true;
  const digits = end - host - 1;
  if (request[host] !== COLON || digits < 1 || digits > PORT_DIGITS_MAX) return false;
  return spanEnd(request, host + 1, { end, what: DIGIT }) === end;
}

/** Where bytes of other classes begin. */
function spanEnd(request: Uint8Array, start: number, { end, what }: { end: number; what: number }): number {
  let at = start;
  while (at < end && (CLASSES[request[at]!]! & what) !== 0) at++;
  return at;
}

function equals(request: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (request[at + i] !== expected[i]) return false;
  return true;
}
