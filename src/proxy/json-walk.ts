/**
 * Walks over JSON as bytes, without building its values: a proxy has to leave everything as it is written, number forms,
 * order of keys, duplicate keys and escapes included.
 *
 * It goes on by a loop, not by recursion, so nesting can't exhaust the stack, and may be interrupted. It checks brackets, commas, colons and the ends of
 * strings; what a number or an escape looks like is nobody's business here.
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

const QUOTE = 0x22;
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
  let stepEnd = STEP_BYTES;
  /** The brackets that close what is open, outermost first. */
  const closing: number[] = [];
  /** The depth of the outermost container whose inside is not reported; infinite while everything is. */
  let quietFrom = Number.POSITIVE_INFINITY;
  let at = afterSpace(json, 0);
  for (;;) {
    if (at >= stepEnd) {
      stepEnd = at + STEP_BYTES;
      yield;
    }
    const byte = json[at];
    if (byte === OBJECT_OPEN || byte === ARRAY_OPEN) {
      const isObject = byte === OBJECT_OPEN;
      closing.push(isObject ? OBJECT_CLOSE : ARRAY_CLOSE);
      if (closing.length <= quietFrom && !handler.open(at, isObject)) quietFrom = closing.length;
      at = afterSpace(json, at + 1);
      if (json[at] !== closing.at(-1)) {
        if (isObject) at = key(json, at, closing.length < quietFrom ? handler : undefined);
        if (at < 0) return false;
        continue;
      }
    } else {
      const end = byte === QUOTE ? stringEnd(json, at) : literalEnd(json, at);
      if (end <= at) return false;
      if (closing.length < quietFrom) handler.scalar(at, end);
      at = afterSpace(json, end);
    }
    // A value has ended: what follows is the next one, or the end of what is open.
    while (closing.length > 0 && json[at] === closing.at(-1)) {
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
    if (closing.at(-1) === OBJECT_CLOSE) at = key(json, at, closing.length < quietFrom ? handler : undefined);
    if (at < 0) return false;
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

/** Reads a key and its colon. Returns where its value begins, or −1. */
function key(json: Buffer, at: number, handler: JsonHandler | undefined): number {
  if (json[at] !== QUOTE) return -1;
  const end = stringEnd(json, at);
  if (end < 0) return -1;
  const colon = afterSpace(json, end);
  if (json[colon] !== COLON) return -1;
  handler?.key(keyText(json, at, end), at);
  return afterSpace(json, colon + 1);
}

/**
 * Short keys by a hash of their bytes. The same few keys come thousands of times in an answer, and to make a string of bytes takes
 * longer than to compare them. A key that is not the one that was kept takes its place.
 */
const KEYS_KEPT = 1_024;
const KEPT_BYTES_MAX = 32;
const kept: ({ readonly bytes: Buffer; readonly text: string | undefined } | undefined)[] = new Array(KEYS_KEPT);

function keyText(json: Buffer, start: number, end: number): string | undefined {
  const bytes = end - start;
  if (bytes > KEPT_BYTES_MAX) return textAt(json, start, end);
  let hash = bytes;
  for (let at = start + 1; at < end; at++) hash = (hash * 31 + json[at]!) | 0;
  const slot = (hash >>> 0) % KEYS_KEPT;
  const found = kept[slot];
  if (found !== undefined && isAt(found.bytes, json, start, bytes)) return found.text;
  const text = textAt(json, start, end);
  kept[slot] = { bytes: Buffer.from(json.subarray(start, end)), text };
  return text;
}

function isAt(wanted: Buffer, json: Buffer, start: number, bytes: number): boolean {
  if (wanted.length !== bytes) return false;
  for (let n = 0; n < bytes; n++) if (wanted[n] !== json[start + n]) return false;
  return true;
}

function stringEnd(json: Buffer, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) at++;
  }
  return -1;
}

/** The end of a number, `true`, `false` or `null`. */
function literalEnd(json: Buffer, start: number): number {
  let at = start;
  while (at < json.length && isLiteral(json[at]!)) at++;
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
  for (let byte = json[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = json[at]) at++;
  return at;
}
