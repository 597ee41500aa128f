/**
 * Reads the deltas of a partition as they are published (docs/design.md#what-is-published), those of all its rooms and users.
 *
 * The stream numbers its messages without holes, and all of them are read. So reading goes on where it stopped after a lost
 * connection, and a hole has one meaning only: the missing deltas are past the stream's retention. A message that can't be read is
 * taken for a hole. The caller then asks for snapshots.
 *
 * After a restore the messages are of another lineage. Its positions and orders are not those of before: the caller begins again.
 */
import type { Position } from "../../../actors/entry.ts";
import { type Bus, translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { existingStream } from "../client/jetstream.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { type Delta, decodeDelta } from "../contract/messages.ts";
import { deltaStream } from "../contract/subjects.ts";
import { headersAt, lineageOf, publishedOf } from "./published-header.ts";

/** How far a partition's deltas are read. */
export interface DeltaMark {
  /** In the delta stream. */
  readonly sequence: number;
  /** Every change of the partition through this position was published at or before that sequence. */
  readonly published: Position;
  /** Of the log that the deltas are of; empty until a delta has told it. */
  readonly lineage: string;
}

interface DeltaReaderOptions {
  readonly partition: number;
  /** How many of the newest deltas that are already there are read too. Default: 0. */
  readonly back?: number;
  /** Called for each delta, in order. */
  readonly onDelta: (delta: Delta, mark: DeltaMark) => void;
  /** Called when deltas after the previous mark, at or before this one, were not read: they are gone, or unreadable. */
  readonly onLost: (mark: DeltaMark) => void;
  /** Called before the first delta of another lineage. `mark`: the place before it, with no position of that lineage. */
  readonly onOtherLineage: (mark: DeltaMark) => void;
  /** Called for each message that can't be read, before `onLost`. */
  readonly onUnreadable: (error: unknown) => void;
}

export class DeltaReader {
  readonly #options: DeltaReaderOptions;
  readonly #reader: StreamReader;
  #mark: DeltaMark;
  /** Resolves when every delta that was there at the start has been read. */
  readonly caughtUp: Promise<void>;
  readonly #reached: { readonly sequence: number; readonly resolve: () => void };

  private constructor(nc: Bus, options: DeltaReaderOptions, from: DeltaMark, last: number) {
    this.#options = options;
    this.#mark = from;
    let resolve = () => {};
    this.caughtUp = new Promise((done) => (resolve = done));
    this.#reached = { sequence: last, resolve };
    if (from.sequence >= last) resolve();
    this.#reader = new StreamReader(nc, {
      stream: deltaStream(options.partition),
      from: from.sequence + 1,
      onMessage: (message) => this.#received(message),
    });
  }

  /** Starts after the newest delta, or `back` deltas earlier. Throws `BUS_UNAVAILABLE`, also when there is no delta stream. */
  static async open(nc: Bus, options: DeltaReaderOptions): Promise<DeltaReader> {
    const { partition, back = 0 } = options;
    const { first, last } = await existingStream(nc, deltaStream(partition));
    const sequence = Math.min(last, Math.max(0, first - 1, last - back));
    const headers = await headersAt(nc, partition, sequence);
    const mark = { sequence, published: publishedOf(headers), lineage: lineageOf(headers) };
    const reader = new DeltaReader(nc, options, mark, last);
    try {
      await reader.#reader.opened;
      return reader;
    } catch (error) {
      reader.close();
      throw translate(error, `read the deltas of partition ${partition}`);
    }
  }

  get mark(): DeltaMark {
    return this.#mark;
  }

  close(): void {
    this.#reader.close();
  }

  #received(message: Delivered): void {
    const { sequence, headers } = message;
    const { onLost, onOtherLineage, onUnreadable } = this.#options;
    const lineage = lineageOf(headers);
    if (this.#mark.lineage !== "" && lineage !== this.#mark.lineage) {
      this.#mark = { sequence: sequence - 1, published: 0, lineage };
      onOtherLineage(this.#mark);
    }
    const isHole = sequence !== this.#mark.sequence + 1;
    const published = Math.max(this.#mark.published, publishedOf(headers));
    this.#mark = { sequence, published, lineage };
    if (isHole) onLost({ sequence: sequence - 1, published, lineage });
    try {
      this.#deliver(message);
    } catch (error) {
      onUnreadable(error);
      onLost(this.#mark);
    }
    if (sequence >= this.#reached.sequence) this.#reached.resolve();
  }

  /** Throws for a message that is no delta of this version. */
  #deliver({ subject, data }: Delivered): void {
    const delta = decodeDelta(subject, data);
    if (delta === undefined) throw new Error("it is of another version, or no delta");
    this.#options.onDelta(delta, this.#mark);
  }
}
