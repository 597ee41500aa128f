/**
 * A JSON text of many megabytes, of which only small parts are ever parsed at once: `JSON.parse` of the whole, and the listing
 * of its keys, would take seconds in which nobody else is served.
 *
 * `check` finds out whether the text is JSON, for any text like `JSON.parse`. Then its parts are found by their brackets, and
 * each that is small enough is parsed alone. The values are those that `JSON.parse` of the whole would have given: of equal
 * keys in a map, the last counts.
 *
 * Everything is done in steps: a generator yields after each few kilobytes and items, however long a text, a number or white
 * space is, and however deep the nesting.
 */
import type { Steps } from "../in-slices.ts";
import { VALUES_MAX, VALUES_PER_KEY } from "../limits.ts";
import { FAULT, FIRST_ACTION, NEXT, NUMBERS, stateOf } from "./json-grammar.ts";
import { LargeMap } from "./large-map.ts";

/** One value of the text. */
export interface JsonPart {
  /** Offsets of its first byte, and behind its last one. */
  readonly at: number;
  readonly end: number;
  /** As `VALUES_MAX` counts them. */
  readonly values: number;
}

/** The bytes of a part that is parsed at once. An event of the largest size has fewer, even if each character is an escape. */
const PARSED_BYTES_MAX = 1_048_576;

/** No longer key is an id, or is looked for: each of its characters may be two escapes of six bytes. */
const KEY_BYTES_MAX = 4_096;

/** Bytes that are looked at in one step. */
const STEP_BYTES = 16_384;

export class JsonText {
  readonly #bytes: Buffer;
  readonly #scan: Scan;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#scan = new Scan(bytes);
  }

  /** Returns the text's value, without a byte order mark. Throws a `SyntaxError` if the text is not JSON. */
  *check(): Steps<JsonPart> {
    const begin = this.#bytes.subarray(0, MARK.length).equals(MARK) ? MARK.length : 0;
    const part = yield* this.#part(yield* this.#space(begin));
    if ((yield* this.#space(part.end)) !== this.#bytes.length) throw notJson();
    return part;
  }

  isMap({ at }: JsonPart): boolean {
    return this.#bytes[at] === OPEN_BRACE;
  }

  isArray({ at }: JsonPart): boolean {
    return this.#bytes[at] === OPEN_BRACKET;
  }

  /** Whether the part is small enough to be parsed at once. */
  isSmall({ at, end, values }: JsonPart): boolean {
    return end - at <= PARSED_BYTES_MAX && values <= VALUES_MAX;
  }

  /** The value of a part; undefined if it is too large. What is not UTF-8 becomes U+FFFD. */
  value(part: JsonPart): unknown {
    return this.isSmall(part) ? JSON.parse(this.#bytes.toString("utf8", part.at, part.end)) : undefined;
  }

  /** Calls `each` for the items of an array. */
  *items(array: JsonPart, each: (item: JsonPart) => Steps<void>): Steps<void> {
    for (let at = yield* this.#space(array.at + 1); this.#bytes[at] !== CLOSE_BRACKET; ) {
      const item = yield* this.#part(at);
      yield* each(item);
      yield;
      at = yield* this.#afterComma(item.end);
    }
  }

  /** The members of a map that have these names. */
  *named(map: JsonPart, names: readonly string[]): Steps<Map<string, JsonPart>> {
    const found = new Map<string, JsonPart>();
    yield* this.#members(map, (key, value) => {
      if (names.includes(key)) found.set(key, value);
    });
    return found;
  }

  /** All members of a map. Keys that are too long for an id count as one, which is empty. */
  *members(map: JsonPart): Steps<LargeMap<string, JsonPart>> {
    const found = new LargeMap<string, JsonPart>();
    yield* this.#members(map, (key, value) => found.set(key, value));
    return found;
  }

  *#members(map: JsonPart, each: (key: string, value: JsonPart) => void): Steps<void> {
    for (let at = yield* this.#space(map.at + 1); this.#bytes[at] !== CLOSE_BRACE; ) {
      const key = yield* this.#part(at);
      const colon = yield* this.#space(key.end);
      const value = yield* this.#part(yield* this.#space(colon + 1));
      each(key.end - key.at <= KEY_BYTES_MAX ? String(this.value(key)) : "", value);
      yield;
      at = yield* this.#afterComma(value.end);
    }
  }

  *#afterComma(end: number): Steps<number> {
    const at = yield* this.#space(end);
    return this.#bytes[at] === COMMA ? yield* this.#space(at + 1) : at;
  }

  /** The value that begins here. Throws if it is not JSON. */
  *#part(begin: number): Steps<JsonPart> {
    const scan = this.#scan;
    scan.begin(begin);
    while (!scan.advance(STEP_BYTES)) yield;
    return { at: begin, end: scan.at, values: scan.values };
  }

  /** Passes white space. */
  *#space(begin: number): Steps<number> {
    let at = begin;
    while (isSpace(this.#bytes[at])) if (++at % STEP_BYTES === 0) yield;
    return at;
  }
}

/** Finds the end of a value, in as many steps as are wanted. */
class Scan {
  readonly #bytes: Buffer;
  readonly #open = new OpenContainers();
  #state = VALUE;
  at = 0;
  values = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  begin(at: number): void {
    this.#open.depth = 0;
    this.#state = VALUE;
    this.at = at;
    this.values = 1;
  }

  /** Looks at the next bytes. Returns whether the value ends there, before `at`. Throws if it is not JSON. */
  advance(count: number): boolean {
    const { length } = this.#bytes;
    const limit = Math.min(this.at + count, length);
    while (this.at < limit) {
      const action = this.#pass(limit);
      if (action === FAULT) throw notJson();
      if (action >= FIRST_ACTION) {
        this.#act(action);
        if (this.#open.depth === 0) return true;
      }
    }
    if (limit < length) return false;
    if (this.#open.depth === 0 && NUMBERS.has(this.#state)) return true;
    throw notJson();
  }

  /** Passes bytes until one asks for an action, or is a fault, and returns that. */
  #pass(limit: number): number {
    const bytes = this.#bytes;
    let state = this.#state;
    let { at } = this;
    let next = state;
    for (; at < limit; at++) {
      next = NEXT[(state << 8) | bytes[at]!]!;
      if (next >= FIRST_ACTION || next === FAULT) break;
      state = next;
    }
    this.#state = state;
    this.at = at;
    return next;
  }

  #act(action: number): void {
    const open = this.#open;
    const state = this.#state;
    const byte = this.#bytes[this.at];
    this.#state = AFTER_VALUE;
    if (action !== BEHIND) this.at++;
    if (action === OPEN) {
      open.push(byte === OPEN_BRACE);
      this.#state = open.isMap ? FIRST_KEY : FIRST_VALUE;
    } else if (action === CLOSE) {
      if (byte !== open.closing) throw notJson();
      if (state === AFTER_VALUE) this.values += open.valuesOfItem;
      open.pop();
    } else if (action === COMMA_BETWEEN) {
      this.values += open.valuesOfItem;
      this.#state = open.isMap ? KEY : VALUE;
    }
  }
}

/** The containers around a place: one bit each, for a text may be nothing but brackets. */
class OpenContainers {
  depth = 0;
  #isMap = new Uint8Array(8);

  get isMap(): boolean {
    const last = this.depth - 1;
    return ((this.#isMap[last >> 3]! >> (last & 7)) & 1) === 1;
  }

  get closing(): number {
    return this.isMap ? CLOSE_BRACE : CLOSE_BRACKET;
  }

  /** What an item of the innermost one counts. */
  get valuesOfItem(): number {
    return this.isMap ? 1 + VALUES_PER_KEY : 1;
  }

  push(isMap: boolean): void {
    const byte = this.depth >> 3;
    const bit = 1 << (this.depth & 7);
    if (byte === this.#isMap.length) {
      const larger = new Uint8Array(byte * 2);
      larger.set(this.#isMap);
      this.#isMap = larger;
    }
    this.#isMap[byte] = isMap ? this.#isMap[byte]! | bit : this.#isMap[byte]! & ~bit;
    this.depth++;
  }

  pop(): void {
    this.depth--;
  }
}

const MARK = Buffer.from("\ufeff");

const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const [VALUE, FIRST_VALUE, KEY, FIRST_KEY, AFTER_VALUE] = [
  stateOf("value"),
  stateOf("firstValue"),
  stateOf("key"),
  stateOf("firstKey"),
  stateOf("afterValue"),
];
const [OPEN, CLOSE, COMMA_BETWEEN, BEHIND] = [stateOf("open"), stateOf("close"), stateOf("comma"), stateOf("behind")];

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function notJson(): SyntaxError {
  return new SyntaxError("the text is not JSON");
}
