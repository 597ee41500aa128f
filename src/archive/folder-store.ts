/**
 * Objects as files in a folder that nobody but this user can look into.
 *
 * An object is written under a temporary name, synced, and renamed; then the folders above it are synced, so that its name survives
 * a loss of power as well. A process that is killed leaves at most its temporary file, which a later one removes.
 */
import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { reasonOf, TidemarkError } from "../errors.ts";
import { ARCHIVE_OBJECT_BYTES_MAX } from "../limits.ts";
import { makePrivate } from "../private-folders.ts";
import {
  type ByteRange,
  isObjectName,
  type ObjectName,
  type ObjectStore,
  type StoredObject,
  tooLarge,
  tooShort,
} from "./object-store.ts";

const PRIVATE_FOLDER = 0o700;
const PRIVATE_FILE = 0o600;

/** No object's name has a part that begins with a dot. */
const TEMPORARY = /^\..*\.partial$/;

/** No write takes so long: the process that began it is gone. */
const ABANDONED_MS = 24 * 3_600_000;

export class FolderStore implements ObjectStore {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** Makes the folder if it doesn't exist. Throws `ARCHIVE_UNAVAILABLE`. */
  static async open(path: string): Promise<FolderStore> {
    const store = new FolderStore(resolve(path));
    await store.#attempt("open it", async () => {
      await makePrivate(store.#root, []);
      await store.#removeAbandoned(store.#root);
    });
    return store;
  }

  put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    return this.#attempt(`write ${name}`, async () => {
      const path = join(this.#root, name);
      await mkdir(dirname(path), { recursive: true, mode: PRIVATE_FOLDER });
      const temporary = join(dirname(path), `.${randomUUID()}.partial`);
      try {
        await writeSynced(temporary, bytes);
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => {});
        throw error;
      }
      await this.#syncAbove(path);
    });
  }

  get(name: ObjectName, range?: ByteRange): Promise<Uint8Array | undefined> {
    return this.#attempt(`read ${name}`, async () => {
      const file = await unlessMissing(open(join(this.#root, name), "r"));
      if (file === undefined) return undefined;
      try {
        const { size } = await file.stat();
        const { from, length } = range ?? { from: 0, length: size };
        if (from + length > size) throw tooShort(name, { from, length });
        if (length > ARCHIVE_OBJECT_BYTES_MAX) throw tooLarge(name, ARCHIVE_OBJECT_BYTES_MAX);
        return await readExactly(file, name, { from, length });
      } finally {
        await file.close();
      }
    });
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    yield* this.#under("", prefix);
  }

  delete(name: ObjectName): Promise<void> {
    return this.#attempt(`delete ${name}`, async () => {
      const path = join(this.#root, name);
      await rm(path, { force: true });
      await unlessMissing(sync(dirname(path)));
    });
  }

  /** `folder`: empty, or with a slash at its end. */
  async *#under(folder: string, prefix: string): AsyncGenerator<StoredObject> {
    const path = join(this.#root, folder);
    const entries = await this.#attempt("list it", () => unlessMissing(readdir(path, { withFileTypes: true })));
    for (const entry of entries ?? []) {
      const name = folder + entry.name;
      if (!isObjectName(name)) continue;
      if (entry.isDirectory()) {
        const below = `${name}/`;
        if (below.startsWith(prefix) || prefix.startsWith(below)) yield* this.#under(below, prefix);
      } else if (name.startsWith(prefix)) {
        const found = await this.#attempt("list it", () => unlessMissing(stat(join(this.#root, name))));
        if (found?.isFile()) yield { name, bytes: found.size };
      }
    }
  }

  /** Syncs the folders between the file and the root: each has the name of the one below it. */
  async #syncAbove(path: string): Promise<void> {
    for (let folder = dirname(path); folder.length >= this.#root.length; folder = dirname(folder)) {
      await sync(folder);
      if (folder === dirname(folder)) return;
    }
  }

  async #removeAbandoned(folder: string): Promise<void> {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && isObjectName(entry.name)) await this.#removeAbandoned(path);
      if (!entry.isFile() || !TEMPORARY.test(entry.name)) continue;
      const found = await unlessMissing(stat(path));
      if (found !== undefined && Date.now() - found.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
    }
  }

  async #attempt<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof TidemarkError) throw cause;
      const reason = `the archive in ${this.#root} failed to ${doing}: ${reasonOf(cause)}`;
      throw new TidemarkError("ARCHIVE_UNAVAILABLE", reason, { cause });
    }
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", PRIVATE_FILE);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Syncs a folder: the names in it. */
async function sync(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readExactly(file: FileHandle, name: ObjectName, { from, length }: ByteRange): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, from + done);
    if (bytesRead === 0) throw tooShort(name, { from, length });
    done += bytesRead;
  }
  return bytes;
}

async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
