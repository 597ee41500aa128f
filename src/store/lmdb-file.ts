/**
 * Whether a file can be given to LMDB. LMDB maps it into memory and trusts it: a truncated file, or one whose first pages are
 * garbage, kills the whole process with SIGBUS or SIGSEGV. So its two meta pages are checked first: the newer one says how
 * many pages the file must have.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Offsets of the fields of a meta page (LMDB data format 2, 64 bit, little endian). */
const MAGIC_AT = 0x18;
const PAGE_SIZE_AT = 0x30;
const LAST_PAGE_AT = 0x90;
const META_BYTES = 0xa0;
const MAGIC = 0xbeefc0de;
const PAGE_BYTES_MAX = 65_536;

/** Why a data file is not usable; undefined when it seems usable. A missing or empty file counts as new. */
export function lmdbFault(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : `it can't be opened: ${String(error)}`;
  }
  try {
    const { size } = fstatSync(fd);
    if (size === 0) return undefined;
    const first = metaPage(fd, 0);
    const second = first === undefined ? undefined : metaPage(fd, first.pageBytes);
    if (first === undefined || second === undefined) return "its first pages are not LMDB's";
    const bytes = (Math.max(first.lastPage, second.lastPage) + 1) * first.pageBytes;
    return size < bytes ? `it has ${size} bytes, and should have ${bytes}` : undefined;
  } finally {
    closeSync(fd);
  }
}

function metaPage(fd: number, at: number): { pageBytes: number; lastPage: number } | undefined {
  const meta = Buffer.alloc(META_BYTES);
  if (readSync(fd, meta, 0, META_BYTES, at) < META_BYTES || meta.readUInt32LE(MAGIC_AT) !== MAGIC) return undefined;
  const pageBytes = meta.readUInt32LE(PAGE_SIZE_AT);
  const lastPage = Number(meta.readBigUInt64LE(LAST_PAGE_AT));
  return pageBytes > 0 && pageBytes <= PAGE_BYTES_MAX ? { pageBytes, lastPage } : undefined;
}
