/**
 * Bytes of the bus ↔ values. Everything is MessagePack; requests may also be JSON, recognised by their first byte, and
 * are answered alike.
 *
 * What comes from outside is looked through byte by byte before it is decoded (`untrusted.ts`), so the decoder never
 * meets extension types, record definitions or a nesting that would exhaust the stack.
 */
import { Packr, Unpackr } from "msgpackr";
import { TidemarkError } from "../../errors.ts";
import { jsonFault, messagePackFault } from "./untrusted.ts";

export type Encoding = "json" | "msgpack";

// Without `useToJSON: false` an event with a key named `toJSON` would be called rather than packed.
const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true, useToJSON: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
const utf8 = new TextDecoder("utf-8", { fatal: true });

export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Decodes what Tidemark itself wrote. */
export function decode(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}

export function encodeAs(value: unknown, encoding: Encoding): Uint8Array {
  return encoding === "json" ? Buffer.from(JSON.stringify(value)) : encode(value);
}

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

export function encodingOf(bytes: Uint8Array): Encoding {
  return bytes[0] === OPEN_BRACE || bytes[0] === OPEN_BRACKET ? "json" : "msgpack";
}

/** Decodes a request. Throws `M_BAD_JSON` for what is neither plain MessagePack nor JSON. */
export function decodeUntrusted(bytes: Uint8Array, encoding: Encoding): unknown {
  if (encoding === "json") {
    const value = attempt("JSON", () => JSON.parse(utf8.decode(bytes)) as unknown);
    const fault = jsonFault(value);
    if (fault !== undefined) throw new TidemarkError("M_BAD_JSON", `not accepted: ${fault}`);
    return value;
  }
  const fault = messagePackFault(bytes);
  if (fault !== undefined) throw new TidemarkError("M_BAD_JSON", `not plain MessagePack: ${fault}`);
  return attempt("MessagePack", () => decode(bytes));
}

function attempt<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new TidemarkError("M_BAD_JSON", `not ${what}`, { cause });
  }
}
