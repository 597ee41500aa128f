/**
 * What is accepted from outside, in either encoding: nil, booleans, finite numbers (integers within ±(2^53 − 1)),
 * strings, arrays, and maps with string keys other than `__proto__`, at most DEPTH_MAX deep.
 *
 * MessagePack is checked on its bytes, before anything is decoded: msgpackr would follow record definitions and
 * extension types that a message brings along, and recurses as deep as the message says. One pass without allocation.
 */
import { DEPTH_MAX } from "../../limits.ts";

const PROTO = Buffer.from("__proto__");
const SAFE_HIGH_WORD_MAX = 0x1f_ffff;

/** Of each open container: how many values it still lacks, and whether it is a map (every other value is a key). */
const lacking = new Float64Array(DEPTH_MAX);
const isMap = new Uint8Array(DEPTH_MAX);

/** Why a message is not accepted; undefined when it is. */
export function messagePackFault(bytes: Uint8Array): string | undefined {
  const end = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  let at = 0;
  let depth = 0;

  for (;;) {
    if (at >= end) return "it ends too early";
    const token = bytes[at++]!;
    const key = depth > 0 && isMap[depth - 1] === 1 && lacking[depth - 1]! % 2 === 0;
    let length = -1; // of a string
    let children = -1; // of a container
    let map = 0;

    if (token <= 0x7f || token >= 0xe0) {
      if (key) return "a map key is not a string";
    } else if (token <= 0x8f) {
      map = 1;
      children = (token & 0x0f) * 2;
    } else if (token <= 0x9f) {
      children = token & 0x0f;
    } else if (token <= 0xbf) {
      length = token & 0x1f;
    } else {
      const size = OPERAND_BYTES[token - 0xc0]!;
      if (size < 0) return token >= 0xc4 && token <= 0xc6 ? "binary data" : "an extension type";
      if (at + size > end) return "it ends too early";
      switch (token) {
        case 0xca:
        case 0xcb: {
          const number = token === 0xca ? view.getFloat32(at) : view.getFloat64(at);
          if (!Number.isFinite(number)) return "a number that is not finite";
          if (Math.abs(number) > Number.MAX_SAFE_INTEGER) return OUT_OF_RANGE;
          break;
        }
        case 0xcf:
          if (view.getUint32(at) > SAFE_HIGH_WORD_MAX) return OUT_OF_RANGE;
          break;
        case 0xd3: {
          const number = view.getBigInt64(at);
          if (number > Number.MAX_SAFE_INTEGER || number < Number.MIN_SAFE_INTEGER) return OUT_OF_RANGE;
          break;
        }
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

    if (key && length < 0) return "a map key is not a string";
    if (length >= 0) {
      if (length > end - at) return "it ends too early";
      if (key && length === PROTO.length && PROTO.compare(bytes, at, at + length) === 0) return PROTO_KEY;
      at += length;
    }
    if (depth > 0) lacking[depth - 1]!--;
    if (children >= 0) {
      if (children > end - at) return "it ends too early";
      if (depth === DEPTH_MAX) return TOO_DEEP;
      lacking[depth] = children;
      isMap[depth] = map;
      depth++;
    }
    while (depth > 0 && lacking[depth - 1] === 0) depth--;
    if (depth === 0) return at === end ? undefined : "bytes follow the value";
  }
}

const OUT_OF_RANGE = "an integer beyond 2^53 - 1";
const PROTO_KEY = "a key named __proto__";
const TOO_DEEP = `nested more than ${DEPTH_MAX} deep`;

/** Bytes that follow each token from 0xc0 to 0xdf, strings' own not counted; −1 where the token is refused. */
const OPERAND_BYTES = Int8Array.from([
  0, -1, 0, 0, -1, -1, -1, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, -1, -1, -1, -1, -1, 1, 2, 4, 2, 4, 2, 4,
]);

/** The same for a value that `JSON.parse` made. */
export function jsonFault(value: unknown, depth = 0): string | undefined {
  if (typeof value === "number") return Math.abs(value) > Number.MAX_SAFE_INTEGER ? OUT_OF_RANGE : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === DEPTH_MAX) return TOO_DEEP;
  if (Array.isArray(value)) {
    for (const item of value) {
      const fault = jsonFault(item, depth + 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  for (const key of Object.keys(value)) {
    if (key === "__proto__") return PROTO_KEY;
    const fault = jsonFault((value as Record<string, unknown>)[key], depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
