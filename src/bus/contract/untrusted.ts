/**
 * What is accepted from outside, in either encoding: nil, booleans, finite numbers, strings, arrays, and maps with string
 * keys other than `__proto__`; at most `DEPTH_MAX` deep, and at most `VALUES_MAX` values, of which keys are some.
 *
 * The bytes are checked before anything is decoded, in one pass without allocation that ends at the first fault. msgpackr
 * would follow record definitions and extension types that a message brings along, and recurses as deep as the message
 * says; `JSON.parse` makes half a million arrays of half a MiB.
 *
 * Some faults are of one value, and the rest of the message makes sense without it: a number that is not finite, a key
 * named `__proto__`, nesting that is too deep. Inside an event such a value is pruned (`pruning.ts`), so the pass can ignore
 * those faults. An event is the map that the message is, or that an item of its array is.
 */
import { DEPTH_MAX, VALUES_MAX, VALUES_PER_KEY } from "../../limits.ts";
import { NOT_FINITE, PROTO_KEY, TOO_DEEP } from "./pruning.ts";

export interface Fault {
  readonly code: "M_BAD_JSON" | "M_TOO_LARGE";
  readonly reason: string;
  /** The offset of the first byte that was not looked at: a measure of the work. */
  readonly at: number;
  /** Whether the message is accepted if the value at fault is pruned. */
  readonly prunable: boolean;
}

const PROTO = Buffer.from("__proto__");

/** Of each open container: how many values it still lacks, and whether it is a map (every other value is a key). */
const lacking = new Float64Array(DEPTH_MAX);
const isMap = new Uint8Array(DEPTH_MAX);

/** Returns why a message is not accepted. `pruning`: values are pruned that make a message prunable. */
export function messagePackFault(bytes: Uint8Array, pruning = false): Fault | undefined {
  const end = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  let at = 0;
  let depth = 0;
  let values = 1;
  /** Values that are still to come in a container that is too deep. It is pruned as a whole. */
  let tooDeep = 0;

  for (;;) {
    if (at >= end) return fault("it ends too early", at);
    const token = bytes[at++]!;
    const key = tooDeep === 0 && depth > 0 && isMap[depth - 1] === 1 && lacking[depth - 1]! % 2 === 0;
    let length = -1; // of a string
    let children = -1; // of a container
    let map = 0;
    let notFinite = false;

    if (token <= 0x7f || token >= 0xe0) {
      if (key) return fault("a map key is not a string", at);
    } else if (token <= 0x8f) {
      map = 1;
      children = (token & 0x0f) * 2;
    } else if (token <= 0x9f) {
      children = token & 0x0f;
    } else if (token <= 0xbf) {
      length = token & 0x1f;
    } else {
      const size = OPERAND_BYTES[token - 0xc0]!;
      if (size < 0) return fault(token >= 0xc4 && token <= 0xc6 ? "binary data" : "an extension type", at);
      if (at + size > end) return fault("it ends too early", at);
      switch (token) {
        case 0xca:
          notFinite = !Number.isFinite(view.getFloat32(at));
          break;
        case 0xcb:
          notFinite = !Number.isFinite(view.getFloat64(at));
          break;
        case 0xd9:
          length = bytes[at]!;
          break;
        case 0xda:
          length = view.getUint16(at);
          break;
        case 0xdb:
          length = view.getUint32(at);
          break;
        case 0xdc:
          children = view.getUint16(at);
          break;
        case 0xdd:
          children = view.getUint32(at);
          break;
        case 0xde:
          map = 1;
          children = view.getUint16(at) * 2;
          break;
        case 0xdf:
          map = 1;
          children = view.getUint32(at) * 2;
          break;
      }
      at += size;
    }

    if (key && length < 0) return fault("a map key is not a string", at);
    // Of one value, which may be pruned.
    let own: string | undefined = notFinite ? NOT_FINITE : undefined;
    if (length >= 0) {
      if (length > end - at) return fault("it ends too early", at);
      if (key && length === PROTO.length && PROTO.compare(bytes, at, at + length) === 0) own = PROTO_KEY;
      at += length;
    }
    if (children >= 0) {
      if (children > end - at) return fault("it ends too early", at);
      values += map === 1 ? (children / 2) * (1 + VALUES_PER_KEY) : children;
      if (values > VALUES_MAX) return { code: "M_TOO_LARGE", reason: TOO_MANY, at, prunable: false };
      if (tooDeep === 0 && depth === DEPTH_MAX) own = TOO_DEEP;
    }
    if (own !== undefined && tooDeep === 0) {
      const prunable = isMap[0] === 1 || (depth > 1 && isMap[1] === 1);
      if (!pruning || depth === 0 || !prunable) return fault(own, at, depth > 0 && prunable);
    }

    if (tooDeep > 0) {
      tooDeep += Math.max(children, 0) - 1;
    } else {
      if (depth > 0) lacking[depth - 1]!--;
      if (children >= 0) {
        if (depth === DEPTH_MAX) {
          tooDeep = children;
        } else {
          lacking[depth] = children;
          isMap[depth] = map;
          depth++;
        }
      }
    }
    while (tooDeep === 0 && depth > 0 && lacking[depth - 1] === 0) depth--;
    if (depth === 0) return at === end ? undefined : fault("bytes follow the value", at);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;

/**
 * The bounds of a JSON text, before `JSON.parse` makes its values. Anything else that is wrong with it, `JSON.parse` finds,
 * or `valueFault`.
 */
export function jsonFault(bytes: Uint8Array, pruning = false): Fault | undefined {
  const end = bytes.length;
  let depth = 0;
  let values = 1;
  let last = 0;
  for (let at = 0; at < end; at++) {
    const byte = bytes[at]!;
    if (byte <= SPACE) continue;
    const closes = byte === CLOSE_BRACE || byte === CLOSE_BRACKET;
    // The first value of a container; the others follow a comma.
    if (byte === COMMA || ((last === OPEN_BRACE || last === OPEN_BRACKET) && !closes)) values++;
    else if (byte === COLON) values += VALUES_PER_KEY;
    if (values > VALUES_MAX) return { code: "M_TOO_LARGE", reason: TOO_MANY, at: at + 1, prunable: false };
    if (byte === QUOTE) {
      for (at++; at < end && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (depth < DEPTH_MAX) {
        isMap[depth] = byte === OPEN_BRACE ? 1 : 0;
      } else {
        const prunable = isMap[0] === 1 || isMap[1] === 1;
        if (!pruning || !prunable) return fault(TOO_DEEP, at + 1, prunable);
      }
      depth++;
    } else if (closes) {
      depth--;
    }
    last = byte;
  }
  return undefined;
}

function fault(reason: string, at: number, prunable = false): Fault {
  return { code: "M_BAD_JSON", reason, at, prunable };
}

const TOO_MANY = `more than ${VALUES_MAX} values`;

/** Bytes that follow each token from 0xc0 to 0xdf, strings' own not counted; −1 where the token is refused. */
const OPERAND_BYTES = Int8Array.from([
  0, -1, 0, 0, -1, -1, -1, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, -1, -1, -1, -1, -1, 1, 2, 4, 2, 4, 2, 4,
]);
