/**
 * Where the archive's objects are: a folder, or a bucket of an S3 server (docs/design.md#object-stores).
 *
 * One small interface, of what every S3-compatible store can do. None of it is conditional: many of them answer a conditional write
 * with 200 and write all the same. So nothing here relies on a name being free, and whoever writes chooses names that nobody else
 * chooses.
 */
import { TidemarkError } from "../errors.ts";

/** Lower case, so that a file system that ignores case keeps two names apart. A part never begins with a dot, so no name leaves its folder. */
const NAME = /^[a-z0-9][a-z0-9._-]*(?:\/[a-z0-9][a-z0-9._-]*)*$/;
const NAME_CHARS_MAX = 200;

declare const brand: unique symbol;

/** `part/part/…` of `a–z 0–9 . _ -`, at most 200 characters. */
export type ObjectName = string & { readonly [brand]: "ObjectName" };

export function isObjectName(name: string): name is ObjectName {
  return name.length <= NAME_CHARS_MAX && NAME.test(name);
}

/** Throws on a name that is none: only Tidemark makes names, so that is a mistake in it. */
export function objectName(name: string): ObjectName {
  if (!isObjectName(name)) throw new Error(`${JSON.stringify(name)} is no name of an object`);
  return name;
}

/** Bytes of an object, from one on. */
export interface ByteRange {
  readonly from: number;
  /** At least 1. */
  readonly length: number;
}

export interface StoredObject {
  readonly name: ObjectName;
  readonly bytes: number;
}

/**
 * Every method throws `ARCHIVE_UNAVAILABLE` when the store can't be reached or refuses, and may then be called again: all of them may
 * be repeated. Objects have at most `ARCHIVE_OBJECT_BYTES_MAX`.
 */
export interface ObjectStore {
  /**
   * Resolves when the object is on disk, also if it replaces another. Readers see a whole object, or none. No name may be the beginning
   * of another one up to a slash: in a folder it would be a folder.
   */
  put(name: ObjectName, bytes: Uint8Array): Promise<void>;

  /**
   * Returns the object, or exactly the bytes of the range; undefined when there is no such object. Throws `ARCHIVE_DAMAGED` when it
   * ends before the range does.
   */
  get(name: ObjectName, range?: ByteRange): Promise<Uint8Array | undefined>;

  /** All objects whose names begin with the prefix, in any order. What others stored under other names is passed over. */
  list(prefix: string): AsyncGenerator<StoredObject>;

  /** Resolves when the object is gone, also if it was not there. */
  delete(name: ObjectName): Promise<void>;
}

/** What `get` throws when an object ends too early. */
export function tooShort(name: ObjectName, { from, length }: ByteRange): TidemarkError {
  return new TidemarkError("ARCHIVE_DAMAGED", `${name} of the archive ends before byte ${from + length}`);
}

/** What `get` throws for an object that is none of Tidemark's, as it has more bytes. */
export function tooLarge(name: ObjectName, bytesMax: number): TidemarkError {
  return new TidemarkError("ARCHIVE_DAMAGED", `${name} of the archive has more than ${bytesMax} bytes`);
}
