/**
 * Reads the deltas of a partition as they are published (docs/design.md#what-is-published), those of all its rooms and users.
 *
 * The stream numbers its messages without holes, and all of them are read. So reading goes on where it stopped after a lost
 * connection, and a hole has one meaning only: the missing deltas are past the stream's retention. The caller then asks for a
 * snapshot.
 */
import type { Position } from "../../../actors/entry.ts";
import { type Bus, translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { existingStream } from "../client/jetstream.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { type Delta, decodeDelta } from "../contract/messages.ts";
import { deltaStream } from "../contract/subjects.ts";
import { publishedAt, publishedOf } from "./published-header.ts";

/** How far a partition's deltas are read. */
export interface DeltaMark {
  /** In the delta stream. */
  readonly sequence: number;
  /** Every change of the partition through this position was published at or before that sequence. */
  readonly published: Position;
}

interface DeltaReaderOptions {
  readonly partition: number;
  /** How many of the newest deltas that are already there are read too. Default: 0. */
  readonly back?: number;
  /** Called for each delta, in order. `bytes` is the size of its message. */
  readonly onDelta: (delta: Delta, mark: DeltaMark, bytes: number) => void;
  /** Called when deltas between the previous mark and this one are gone from the stream. */
  readonly onLost: (mark: DeltaMark) => void;
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
    const published = await publishedAt(nc, partition, sequence);
    const reader = new DeltaReader(nc, options, { sequence, published }, last);
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
    const lost = message.sequence !== this.#mark.sequence + 1;
    this.#mark = {
      sequence: message.sequence,
      published: Math.max(this.#mark.published, publishedOf(message.headers)),
    };
    if (lost) this.#options.onLost(this.#mark);
    this.#deliver(message);
    if (message.sequence >= this.#reached.sequence) this.#reached.resolve();
  }

  #deliver(message: Delivered): void {
    const delta = decodeDelta(message.subject, message.data);
    if (delta !== undefined) this.#options.onDelta(delta, this.#mark, message.data.length);
  }
}
