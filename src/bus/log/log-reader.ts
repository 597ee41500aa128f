/** Reads a partition's log as fast as it comes, and goes on with what is appended: for a worker. */
import type { LogRecord, PlacedRecord } from "../../../actors/entry.ts";
import { type Bus, translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { logStream } from "../contract/subjects.ts";
import { holeIn, recordIn } from "./log.ts";

export interface LogReaderOptions {
  readonly partition: number;
  /** The first sequence to read. */
  readonly from: number;
  /** How many records are requested ahead. */
  readonly ahead: number;
  /** Called with the records that arrived together, in log order. Never empty. */
  readonly onFetch: (fetch: PlacedRecord[]) => void;
  /** Called for each record with the time at which the broker stored it, by the broker's clock. */
  readonly onStored?: (record: LogRecord, storedAt: number) => void;
  /** Called once when the log can't be read any further: `LOG_BROKEN`, `RECORD_UNREADABLE`, `BUS_UNAVAILABLE`. */
  readonly onError: (error: unknown) => void;
}

export class LogReader {
  readonly #options: LogReaderOptions;
  readonly #reader: StreamReader;
  #fetch: PlacedRecord[] = [];
  #closed = false;

  constructor(nc: Bus, options: LogReaderOptions) {
    const { partition, from, ahead } = options;
    this.#options = options;
    this.#reader = new StreamReader(nc, {
      stream: logStream(partition),
      from,
      ahead,
      onMessage: (message) => this.#received(message),
      onHole: (hole) => this.#fail(holeIn(partition, hole)),
    });
    this.#reader.opened.catch((error) => this.#fail(translate(error, `read the log of partition ${partition}`)));
  }

  /** No callback is called after this. */
  close(): void {
    this.#closed = true;
    this.#fetch = [];
    this.#reader.close();
  }

  #received(message: Delivered): void {
    const { partition } = this.#options;
    try {
      const placed = recordIn(partition, message);
      this.#fetch.push(placed);
      this.#options.onStored?.(placed.record, message.at);
    } catch (error) {
      this.#fail(error);
      return;
    }
    // All messages that came with the same read of the socket join this fetch.
    if (this.#fetch.length === 1) setImmediate(() => this.#deliver());
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#options.onError(error);
  }

  #deliver(): void {
    const fetch = this.#fetch;
    this.#fetch = [];
    if (!this.#closed && fetch.length > 0) this.#options.onFetch(fetch);
  }
}
