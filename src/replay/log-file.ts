/** Exported logs as files, compressed if the name ends with `.gz`. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream, lstatSync } from "node:fs";
import { link, rename, rm, stat } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import type { PlacedRecord } from "../../actors/entry.ts";
import { reasonOf } from "../errors.ts";
import { LOG_LINE_CHARS_MAX } from "../limits.ts";
import { LineTooLongError, linesOf } from "./lines.ts";
import { DamagedLogError, type LogHeader, LogLineReader } from "./log-lines.ts";

const isCompressed = (path: string) => path.endsWith(".gz");

export interface LogFileRead {
  readonly onHeader?: (header: LogHeader) => void | Promise<void>;
  /** `line`: where the record stands in the file, from 1. */
  readonly onRecord: (record: PlacedRecord, line: number) => void | Promise<void>;
  /** Called with the number of bytes that have been read. */
  readonly onBytes?: (bytes: number) => void;
  /** The last line to read: what comes after it is damaged, or not wanted. Default: all lines, and the file must be whole. */
  readonly untilLine?: number | undefined;
}

export async function fileBytes(path: string): Promise<number> {
  return (await stat(path)).size;
}

/** Reads a file to its end, or until `onRecord` throws. If it is damaged, the error names the path and the line. */
export async function readLogFile(
  path: string,
  { onHeader, onRecord, onBytes, untilLine = Number.POSITIVE_INFINITY }: LogFileRead,
): Promise<void> {
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
      const handled = record && onRecord(record, line);
      if (handled !== undefined) await handled;
      if (line === untilLine) return;
    }
    reader.finish();
  } catch (error) {
    if (error instanceof DamagedLogError) throw new Error(`${path}, ${error.message}`, { cause: error });
    if (isUnreadable(error)) throw new Error(`${path}, after line ${line}: ${reasonOf(error)}`, { cause: error });
    throw error;
  } finally {
    file.destroy();
  }
}

/** Whether the content can't be split into lines: a line is too long, or zlib failed (codes `Z_DATA_ERROR`, …). */
function isUnreadable(error: unknown): boolean {
  if (error instanceof LineTooLongError) return true;
  return error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
}

/** Of `link`, on file systems that have no hard links. */
const NO_LINKS: ReadonlySet<unknown> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/**
 * Writes a new file, completely or not at all: until it is closed, its name ends with `.partial`. What has the name already, a
 * backup perhaps, stays as it is.
 */
export class LogFileWriter {
  readonly #path: string;
  readonly #partial: string;
  readonly #file: Writable;
  /** The stream that text is written to: the file, or the compression before it. */
  readonly #input: Writable;
  /** Settles when the file is closed, or can't be written. */
  readonly #finished: Promise<void>;

  constructor(path: string) {
    refuseExisting(path);
    this.#path = path;
    // A name that nobody can have made a link of, for this user alone: it has private receipts.
    this.#partial = `${path}.${randomUUID()}.partial`;
    this.#file = createWriteStream(this.#partial, { flags: "wx", mode: 0o600 });
    this.#finished = finished(this.#file);
    this.#finished.catch(() => {}); // `write` and `close` throw it.
    if (isCompressed(path)) {
      const gzip = createGzip();
      gzip.pipe(this.#file);
      this.#input = gzip;
    } else {
      this.#input = this.#file;
    }
  }

  /** Resolves when more can be written. */
  async write(text: string): Promise<void> {
    if (!this.#input.write(text)) await Promise.race([once(this.#input, "drain"), this.#finished]);
  }

  async close(): Promise<void> {
    this.#input.end();
    await this.#finished;
    try {
      await link(this.#partial, this.#path);
    } catch (error) {
      refuseExisting(this.#path);
      if (!(error instanceof Error && "code" in error && NO_LINKS.has(error.code))) throw error;
      await rename(this.#partial, this.#path);
      return;
    }
    await rm(this.#partial);
  }

  async discard(): Promise<void> {
    this.#input.destroy();
    this.#file.destroy();
    await rm(this.#partial, { force: true });
  }
}

/** A link that leads nowhere counts, too. */
function refuseExisting(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
  throw new Error(`${path} exists already, and is not overwritten: name another file, or remove it`);
}
