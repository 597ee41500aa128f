/** Sizes of parts of an answer, as they are encoded: numbers and control characters differ much between the two encodings. */
import { type Encoding, encodeAs } from "../../bus/contract/codec.ts";

/** Bytes of a value. */
export type SizeOf = (value: unknown) => number;

/** What MessagePack writes before a text, at most. */
const TEXT_HEAD_BYTES = 5;

const SIZES: Readonly<Record<Encoding, SizeOf>> = {
  json: (value) => encodeAs(value, "json").length,
  msgpack: (value) =>
    typeof value === "string" ? Buffer.byteLength(value) + TEXT_HEAD_BYTES : encodeAs(value, "msgpack").length,
};

export function sizeIn(encoding: Encoding): SizeOf {
  return SIZES[encoding];
}
