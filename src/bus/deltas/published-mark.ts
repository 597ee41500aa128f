/**
 * The published mark of a partition (docs/design.md#what-is-published): the position through which everything is published, in the
 * bucket `tidemark_published`.
 *
 * The newest delta says so, too, but only as of when it was sent, and only as long as its stream keeps it. The mark outlives both.
 * It only grows: an owner that was paused writes it by compare-and-set, like any other, and a smaller position is not written.
 * A mark of another lineage is about other positions, and counts as missing.
 */
import type { Position } from "../../../actors/entry.ts";
import type { Bus } from "../client/connection.ts";
import { Bucket } from "../client/kv.ts";
import { encodeMark, markKey, parseMark } from "../contract/mark-row.ts";
import { MARKS_BUCKET } from "../contract/subjects.ts";
import { publishedThrough } from "./published-header.ts";

/** The mark of a log that was made just now: nothing of it is published. It counts for whatever lineage the log gets. */
const NEW = { published: 0, lineage: "" };

/** The log whose positions are meant. */
export interface MarkedLog {
  readonly partition: number;
  readonly lineage: string;
}

/**
 * The position through which a partition is published, by its mark and its newest delta. undefined when neither says it.
 * Throws `BUS_UNAVAILABLE`.
 */
export async function publishedPosition(nc: Bus, log: MarkedLog): Promise<Position | undefined> {
  const [mark, delta] = await Promise.all([storedMark(nc, log), publishedThrough(nc, log.partition, log.lineage)]);
  return mark === undefined && delta === 0 ? undefined : Math.max(mark ?? 0, delta);
}

async function storedMark(nc: Bus, { partition, lineage }: MarkedLog): Promise<Position | undefined> {
  const text = await new Bucket(nc, MARKS_BUCKET).get(markKey(partition));
  const mark = text === undefined ? undefined : parseMark(text);
  return mark?.lineage === lineage || mark?.lineage === NEW.lineage ? mark.published : undefined;
}

/** Marks a log that was made just now, unless it has a mark: whatever it will have is due, however old it says that it is. */
export async function markNewLog(nc: Bus, partition: number): Promise<void> {
  await new Bucket(nc, MARKS_BUCKET).putAfter(markKey(partition), 0, encodeMark(NEW));
}

/** Removes the mark of a log that is filled from elsewhere: what it then has is old, and not due only because it is new here. */
export async function removeMark(nc: Bus, partition: number): Promise<void> {
  const bucket = new Bucket(nc, MARKS_BUCKET);
  const row = await bucket.row(markKey(partition));
  if (row !== undefined && !row.deleted) await bucket.deleteAfter(markKey(partition), row.revision);
}

interface PublishedMarkOptions {
  readonly nc: Bus;
  /** Its lineage is known once the log has a record. */
  readonly log: () => MarkedLog;
  /** Called when the mark could not be written. It is written with the next one. */
  readonly failed: (error: unknown) => void;
  /** Called when it was written, or was there already. */
  readonly written?: () => void;
}

/** Writes a partition's mark: one write at a time, and of those that wait only the last. */
export class PublishedMark {
  readonly #options: PublishedMarkOptions;
  readonly #bucket: Bucket;
  readonly #key: string;
  /** Of the row, as far as known. */
  #revision = 0;
  #stored: Position = -1;
  #wanted: Position = -1;
  #writing: Promise<void> | undefined;

  constructor(options: PublishedMarkOptions) {
    this.#options = options;
    this.#bucket = new Bucket(options.nc, MARKS_BUCKET);
    this.#key = markKey(options.log().partition);
  }

  /** Raises the mark to a position, unless it is there already. Resolves when it is written, or could not be. */
  raise(position: Position): Promise<void> {
    this.#wanted = Math.max(this.#wanted, position);
    this.#writing ??= this.#write()
      .then(() => this.#options.written?.())
      .catch((error) => this.#options.failed(error))
      .finally(() => {
        this.#writing = undefined;
      });
    return this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#wanted > this.#stored) {
      const position = this.#wanted;
      const text = encodeMark({ published: position, lineage: this.#options.log().lineage });
      const revision = await this.#bucket.putAfter(this.#key, this.#revision, text);
      if (revision === undefined) {
        await this.#read();
      } else {
        this.#revision = revision;
        this.#stored = position;
      }
    }
  }

  async #read(): Promise<void> {
    const row = await this.#bucket.row(this.#key);
    this.#revision = row?.revision ?? 0;
    const mark = row === undefined || row.deleted ? undefined : parseMark(row.text);
    this.#stored = mark?.lineage === this.#options.log().lineage ? mark.published : -1;
  }
}
