/**
 * Names in keys of LMDB, which takes keys of up to 1,978 bytes, without control characters.
 *
 * Ids have up to 1,020 bytes, of any characters (docs/design.md#requests), and a key may have two of them. So a name that is long or
 * odd is represented by its digest; then the row carries the name.
 */
import { createHash } from "node:crypto";

const NAME_BYTES_MAX = 255;
/** No id, state key or thread begins with it. */
const DIGEST = "~";
const ODD = /[\p{Cc}\p{Cs}]/u;

/** A name as a part of a key. */
export function keyPart(name: string): string {
  return fitsInKey(name) ? name : DIGEST + createHash("sha256").update(name).digest("base64url");
}

/** A row under a name: with the name, if its key has a digest of it. */
export function withName(name: string, value: unknown): unknown {
  return fitsInKey(name) ? value : [name, value];
}

function fitsInKey(name: string): boolean {
  const isShort = name.length * 3 <= NAME_BYTES_MAX || Buffer.byteLength(name) <= NAME_BYTES_MAX;
  return isShort && !name.startsWith(DIGEST) && !ODD.test(name);
}

/** The name of a row, and its value. */
export function nameAndValue(part: string, stored: unknown): readonly [name: string, value: unknown] {
  return part.startsWith(DIGEST) ? (stored as [string, unknown]) : [part, stored];
}
