/**
 * Walks over JSON as bytes, without building its values: a proxy has to leave everything as it is written, number forms,
 * order of keys, duplicate keys and escapes included.
 *
 * It goes on by a loop, not by recursion, so nesting can't exhaust the stack, and may be interrupted. It checks brackets, commas, colons and the ends of
 * strings; what a number or an escape looks like is nobody's business here.
 *
 * For strings, it has the bytes as a text of Latin-1, too, in which each byte is a character: V8 finds the end of one there, and compares a key, faster than
 * a loop over bytes does.
 */
import type { Steps } from "../in-slices.ts";

/** Called in the order of the text. Offsets are of bytes; an end is after the last byte. */
export interface JsonHandler {
  /** An object or array begins. Returns whether what is inside is reported; `close` is called in any case. */
  open(at: number, isObject: boolean): boolean;
  /** The key of a member that follows, unescaped; undefined for one whose escapes make no sense. `at`: its first quote. */
  key(text: string | undefined, at: number): void;
  /** A string, number or literal. */
  scalar(start: number, end: number): void;
  /** The object or array that was opened last ends. */
  close(end: number): void;
}

export const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const ARRAY_OPEN = 0x5b;
const ARRAY_CLOSE = 0x5d;
const OBJECT_OPEN = 0x7b;
const OBJECT_CLOSE = 0x7d;

/** Bytes of a step, or one string, if that is longer. */
const STEP_BYTES = 16_384;

/** Returns whether the text is one whole JSON value. If not, the handler may have been called for a part of it. */
export function* walk(json: Buffer, handler: JsonHandler): Steps<boolean> {
  const walker = new Walker(json, handler);
  for (;;) {
    const isWhole = walker.step();
    if (isWhole !== undefined) return isWhole;
    yield;
  }
}

/** V8 makes faster code of a loop in a method than of one in a generator. */
class Walker {
  readonly #json: Buffer;
  readonly #text: string;
  readonly #handler: JsonHandler;
  /** The brackets that close what is open, outermost first. */
  readonly #closing: number[] = [];
  /** The depth of the outermost container whose inside is not reported; infinite while everything is. */
  #quietFrom = Number.POSITIVE_INFINITY;
  /** Where the next value begins. */
  #at: number;

  constructor(json: Buffer, handler: JsonHandler) {
    this.#json = json;
    this.#text = json.toString("latin1");
    this.#handler = handler;
    this.#at = afterSpace(json, 0);
  }

  /** Returns undefined while there is more to do. */
  step(): boolean | undefined {
    const json = this.#json;
    const text = this.#text;
    const handler = this.#handler;
    const closing = this.#closing;
    let quietFrom = this.#quietFrom;
    let at = this.#at;
    const stepEnd = at + STEP_BYTES;
    while (at < stepEnd) {
      const first = json[at];
      if (first === OBJECT_OPEN || first === ARRAY_OPEN) {
        const isObject = first === OBJECT_OPEN;
        closing.push(isObject ? OBJECT_CLOSE : ARRAY_CLOSE);
        if (closing.length <= quietFrom && !handler.open(at, isObject)) quietFrom = closing.length;
        at = afterSpace(json, at + 1);
        if (json[at] !== closing[closing.length - 1]) {
          if (isObject) at = this.#key(at, closing.length < quietFrom);
          if (at < 0) return false;
          continue;
        }
      } else {
        const end = first === QUOTE ? stringEnd(json, text, at) : literalEnd(json, at);
        if (end <= at) return false;
        if (closing.length < quietFrom) handler.scalar(at, end);
        at = afterSpace(json, end);
      }
      // A value has ended: what follows is the next one, or the end of what is open.
      while (closing.length > 0 && json[at] === closing[closing.length - 1]) {
        if (closing.length <= quietFrom) {
          quietFrom = Number.POSITIVE_INFINITY;
          handler.close(at + 1);
        }
        closing.pop();
        at = afterSpace(json, at + 1);
      }
      if (closing.length === 0) return at === json.length;
      if (json[at] !== COMMA) return false;
      at = afterSpace(json, at + 1);
      if (closing[closing.length - 1] === OBJECT_CLOSE) at = this.#key(at, closing.length < quietFrom);
      if (at < 0) return false;
    }
    this.#quietFrom = quietFrom;
    this.#at = at;
    return undefined;
  }

  /** Reads a key and its colon. Returns where its value begins, or −1. */
  #key(at: number, isReported: boolean): number {
    const json = this.#json;
    if (json[at] !== QUOTE) return -1;
    const end = stringEnd(json, this.#text, at);
    if (end < 0) return -1;
    const colon = afterSpace(json, end);
    if (json[colon] !== COLON) return -1;
    if (isReported) this.#handler.key(keyText(json, this.#text, at, end), at);
    return afterSpace(json, colon + 1);
  }
}

/** The text of a JSON string; undefined for any other value, and for one that makes no sense. */
export function textAt(json: Buffer, start: number, end: number): string | undefined {
  if (json[start] !== QUOTE) return undefined;
  const text = json.toString("utf8", start + 1, end - 1);
  if (!text.includes("\\")) return text;
  try {
    return String(JSON.parse(`"${text}"`));
  } catch {
    return undefined;
  }
}

/**
 * Short keys, by their length and their first and last byte. The same few keys come thousands of times in an answer, and to make a string of bytes takes longer
 * than to compare them. A key that is not the one that was kept takes its place.
 */
const KEYS_KEPT = 1_024;
const KEPT_LENGTH_MAX = 32;
const kept: (string | undefined)[] = new Array(KEYS_KEPT);

function keyText(json: Buffer, text: string, start: number, end: number): string | undefined {
  const length = end - start - 2;
  if (length > KEPT_LENGTH_MAX) return textAt(json, start, end);
  const slot = ((length * 31 + json[start + 1]!) * 31 + json[end - 2]!) % KEYS_KEPT;
  const found = kept[slot];
  if (found?.length === length && text.startsWith(found, start + 1)) return found;
  const key = textAt(json, start, end);
  // With an escape, or characters of more than one byte, it is another text than its bytes.
  if (key === text.slice(start + 1, end - 1)) kept[slot] = key;
  return key;
}

/** The end of a string; −1 if it has none. */
function stringEnd(json: Buffer, text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end > 0; end = text.indexOf('"', end + 1)) {
    if (!isEscaped(json, end)) return end + 1;
  }
  return -1;
}

/** Whether an odd number of backslashes is before it. */
function isEscaped(json: Buffer, at: number): boolean {
  let first = at;
  while (json[first - 1] === BACKSLASH) first--;
  return (at - first) % 2 === 1;
}

/** The end of a number, `true`, `false` or `null`. */
function literalEnd(json: Buffer, start: number): number {
  let at = start;
  while (isLiteral(json[at]!)) at++;
  return at;
}

/** Letters, digits, and what else a number has. */
function isLiteral(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    byte === 0x45
  );
}

function afterSpace(json: Buffer, start: number): number {
  let at = start;
  for (let byte = json[at]!; byte <= 0x20; byte = json[at]!) {
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at++;
  }
  return at;
}
