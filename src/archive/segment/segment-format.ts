/**
 * A segment: a stretch of a partition's log as one object (docs/design.md#segments).
 *
 *     head      8 bytes: `TIDESEG` and the version
 *     blocks    of each: its bodies, then its columns (`block-columns.ts`), each compressed with Brotli
 *     index     MessagePack: what the segment is of, and of each block where it is and the digests of its parts
 *     tail      the index's length (4 bytes), its SHA-256, and the head again
 *
 * The manifest has the length and the digest of the index. So whatever is read is checked: the index against the manifest, each part against
 * the index, before anything of it is decompressed.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, constants } from "node:zlib";
import * as z from "zod";
import { TidemarkError } from "../../errors.ts";
import { ARCHIVE_BLOCK_BYTES, ARCHIVE_OBJECT_BYTES_MAX } from "../../limits.ts";

const VERSION = 1;

export const HEAD = Buffer.from([...Buffer.from("TIDESEG"), VERSION]);

const DIGEST_BYTES = 32;
const LENGTH_BYTES = 4;
export const TAIL_BYTES = LENGTH_BYTES + DIGEST_BYTES + HEAD.length;

/** What one part may have uncompressed. A record has at most 1 MiB, so a block is never far beyond its size. */
const PART_BYTES_MAX = 16 * ARCHIVE_BLOCK_BYTES;

/** Higher ones cost twice as much and more, and save a tenth. */
const QUALITY = 4;

const sequence = z.int().min(1);
const digest = z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === DIGEST_BYTES);
const part = z.object({ bytes: z.int().min(1).max(ARCHIVE_OBJECT_BYTES_MAX), digest });

export const INDEX = z.object({
  partition: z.int().min(0),
  lineage: z.string(),
  /** The version of the fold whose notes it has. */
  fold: z.int().min(0),
  first: sequence,
  last: sequence,
  entries: z.int().min(0),
  blocks: z.array(z.object({ first: sequence, bodies: part, columns: part })).min(1),
});

export type SegmentIndex = Readonly<z.infer<typeof INDEX>>;
export type PartPlace = Readonly<z.infer<typeof part>>;

export function digestOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);

/** Takes a thread of Node's pool, not the one that folds. */
export function packed(part: Uint8Array): Promise<Buffer> {
  return compress(part, {
    params: { [constants.BROTLI_PARAM_QUALITY]: QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: part.length },
  });
}

/** Checks a part of a segment, and decompresses it. Throws `ARCHIVE_DAMAGED`. */
export async function unpacked(bytes: Uint8Array, place: PartPlace, name: string): Promise<Uint8Array> {
  if (bytes.length !== place.bytes || !digestOf(bytes).equals(place.digest)) throw damaged(name, "a part of it");
  try {
    return await decompress(bytes, { maxOutputLength: PART_BYTES_MAX });
  } catch (cause) {
    throw damaged(name, "a part of it", cause);
  }
}

export function tailOf(index: Uint8Array): Buffer {
  const tail = Buffer.alloc(TAIL_BYTES);
  tail.writeUInt32BE(index.length, 0);
  tail.set(digestOf(index), LENGTH_BYTES);
  tail.set(HEAD, LENGTH_BYTES + DIGEST_BYTES);
  return tail;
}

export function gone(name: string): TidemarkError {
  return new TidemarkError("ARCHIVE_DAMAGED", `${name} of the archive is gone: restore it from a copy of the archive`);
}

export function damaged(name: string, what: string, cause?: unknown): TidemarkError {
  return new TidemarkError("ARCHIVE_DAMAGED", `${what} is not what was written to ${name} of the archive`, { cause });
}
