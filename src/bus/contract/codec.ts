/**
 * Bytes of the bus ↔ values. Everything is MessagePack; requests may also be JSON, recognised by their first byte, and
 * are answered alike.
 *
 * What comes from outside is checked byte by byte before it is decoded (`untrusted.ts`), so the decoder never meets
 * extension types, record definitions or a nesting that would exhaust the stack.
 */
import { type Options, Packr, Unpackr } from "msgpackr";
import { TidemarkError } from "../../errors.ts";
import { VALUES_PER_KEY } from "../../limits.ts";
import { decodeLeniently } from "./lenient-decoder.ts";
import { type OnPruned, prunedRequest, valueFault } from "./pruning.ts";
import { type Fault, jsonFault, messagePackFault } from "./untrusted.ts";

export type Encoding = "json" | "msgpack";

/** msgpackr's own types lack `skipValues`. */
const packing: Options & { readonly skipValues: readonly unknown[] } = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  // An event with a key named `toJSON` would be called rather than packed.
  useToJSON: false,
  // As `JSON.stringify` does: a key without a value is left out, and an item without one is nil.
  skipValues: [undefined],
  encodeUndefinedAsNil: true,
};
const packr = new Packr(packing);
const wholePackr = new Packr({ ...packing, skipValues: undefined, variableMapSize: true } as Options);
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
const utf8 = new TextDecoder("utf-8", { fatal: true });

export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** The same for what has no key without a value: it needn't look for such keys first. */
export function encodeWhole(value: unknown): Uint8Array {
  return wholePackr.pack(value);
}

/** Decodes what Tidemark itself wrote. */
export function decode(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}

export function encodeAs(value: unknown, encoding: Encoding): Uint8Array {
  return encoding === "json" ? Buffer.from(JSON.stringify(value)) : encode(value);
}

export interface EncodedSize {
  /** In a request or in the log: more than as JSON if the value has many numbers. */
  readonly bytes: number;
  /** As `VALUES_MAX` counts them. */
  readonly values: number;
}

export function encodedSize(value: unknown): EncodedSize {
  return { bytes: encode(value).length, values: valuesIn(value) };
}

function valuesIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  const items = Object.values(value);
  let values = Array.isArray(value) ? 1 : 1 + items.length * VALUES_PER_KEY;
  for (const inner of items) values += valuesIn(inner);
  return values;
}

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/** White space of JSON, and the bytes of a byte order mark. */
const SKIPPED: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);

/** JSON begins with `{` or `[`, after any white space and a byte order mark. No message in MessagePack does. */
export function encodingOf(bytes: Uint8Array): Encoding {
  const first = bytes[0];
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return "json";
  if (!SKIPPED.has(first)) return "msgpack";
  const begin = bytes[beginOfJson(bytes)];
  return begin === OPEN_BRACE || begin === OPEN_BRACKET ? "json" : "msgpack";
}

function beginOfJson(bytes: Uint8Array): number {
  let at = 0;
  while (SKIPPED.has(bytes[at])) at++;
  return at;
}

/** Decodes a request. Throws `M_BAD_JSON` or `M_TOO_LARGE` for what is neither plain MessagePack nor JSON within bounds. */
export function decodeUntrusted(bytes: Uint8Array, encoding: Encoding): unknown {
  if (encoding === "msgpack") {
    const fault = messagePackFault(bytes);
    if (fault !== undefined) throw refused(fault, encoding);
    return attempt("MessagePack", () => decode(bytes));
  }
  const value = boundedJson(bytes, false);
  const fault = valueFault(value);
  if (fault !== undefined) throw notAccepted(fault);
  return value;
}

/**
 * The same for a request whose content others wrote, of events or an EDU: what can't be carried in an event, or in the EDU,
 * is pruned.
 */
export function decodePruned(bytes: Uint8Array, encoding: Encoding, onPruned: OnPruned): unknown {
  let value: unknown;
  if (encoding === "json") {
    value = boundedJson(bytes, true);
  } else {
    const fault = messagePackFault(bytes);
    if (fault === undefined) return attempt("MessagePack", () => decode(bytes));
    const lasting = fault.prunable ? messagePackFault(bytes, true) : fault;
    if (lasting !== undefined) throw refused(lasting, encoding);
    value = decodeLeniently(bytes);
  }
  const result = prunedRequest(value, onPruned);
  if ("fault" in result) throw notAccepted(result.fault);
  return result.value;
}

function boundedJson(bytes: Uint8Array, pruning: boolean): unknown {
  const fault = jsonFault(bytes, pruning);
  if (fault !== undefined) throw refused(fault, "json");
  return attempt("JSON", () => JSON.parse(utf8.decode(bytes.subarray(beginOfJson(bytes)))));
}

function refused({ code, reason }: Fault, encoding: Encoding): TidemarkError {
  return encoding === "json" || code !== "M_BAD_JSON"
    ? notAccepted(reason, code)
    : new TidemarkError(code, `not plain MessagePack: ${reason}`);
}

function notAccepted(reason: string, code: Fault["code"] = "M_BAD_JSON"): TidemarkError {
  return new TidemarkError(code, `not accepted: ${reason}`);
}

function attempt<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new TidemarkError("M_BAD_JSON", `not ${what}`, { cause });
  }
}
