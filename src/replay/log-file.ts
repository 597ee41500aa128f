/** Exported logs on disk: plain, or compressed when the name ends in `.gz`. */
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import type { PlacedRecord } from "../../actors/entry.ts";
import { reasonOf } from "../errors.ts";
import { LOG_LINE_CHARS_MAX } from "../limits.ts";
import { linesOf } from "./lines.ts";
import { DamagedLogError, type LogHeader, LogLineReader } from "./log-lines.ts";

const isCompressed = (path: string) => path.endsWith(".gz");

export interface LogFileRead {
  readonly onHeader?: (header: LogHeader) => void | Promise<void>;
  readonly onRecord: (record: PlacedRecord) => void | Promise<void>;
  /** Bytes of the file that were read. */
  readonly onBytes?: (bytes: number) => void;
}

export async function fileBytes(path: string): Promise<number> {
  return (await stat(path)).size;
}

/** Reads a file to its end, or until `onRecord` throws. Throws `<path>, line <n>: <reason>` for a damaged one. */
export async function readLogFile(path: string, { onHeader, onRecord, onBytes }: LogFileRead): Promise<void> {
  const file = createReadStream(path);
  if (onBytes !== undefined) file.on("data", () => onBytes(file.bytesRead));
  const bytes: Readable = isCompressed(path) ? file.pipe(createGunzip()) : file;
  file.on("error", (error) => bytes.destroy(error));
  const reader = new LogLineReader();
  let line = 0;
  try {
    for await (const text of linesOf(bytes.setEncoding("utf8"), LOG_LINE_CHARS_MAX)) {
      line++;
      const before = reader.header;
      const record = reader.read(text);
      if (before === undefined && reader.header !== undefined) await onHeader?.(reader.header);
      if (record === undefined) continue;
      const taken = onRecord(record);
      if (taken !== undefined) await taken;
    }
    reader.finish();
  } catch (error) {
    if (error instanceof DamagedLogError) throw new Error(`${path}, ${error.message}`, { cause: error });
    if (isStreamFault(error)) throw new Error(`${path}, after line ${line}: ${reasonOf(error)}`, { cause: error });
    throw error;
  } finally {
    file.destroy();
  }
}

/** A fault of zlib (`Z_DATA_ERROR`, …), or of the line splitter's bound. */
function isStreamFault(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code?.startsWith("Z_") === true || reasonOf(error).startsWith("a line has more");
}

/** Writes a file whole or not at all: it gets its name when it is complete. */
export class LogFileWriter {
  readonly #path: string;
  readonly #partial: string;
  readonly #file: Writable;
  readonly #into: Writable;
  /** Settles when the file is closed, or can't be written. */
  readonly #finished: Promise<void>;

  constructor(path: string) {
    this.#path = path;
    this.#partial = `${path}.partial`;
    this.#file = createWriteStream(this.#partial);
    this.#finished = finished(this.#file);
    this.#finished.catch(() => {}); // Whoever writes or closes gets it.
    if (isCompressed(path)) {
      const gzip = createGzip();
      gzip.pipe(this.#file);
      this.#into = gzip;
    } else {
      this.#into = this.#file;
    }
  }

  /** Resolves when more may be written. */
  async write(text: string): Promise<void> {
    if (!this.#into.write(text)) await Promise.race([once(this.#into, "drain"), this.#finished]);
  }

  async close(): Promise<void> {
    this.#into.end();
    await this.#finished;
    await rename(this.#partial, this.#path);
  }

  async discard(): Promise<void> {
    this.#into.destroy();
    this.#file.destroy();
    await rm(this.#partial, { force: true });
  }
}
