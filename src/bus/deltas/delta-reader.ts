/**
 * Reads the deltas of a partition as they are published (docs/design.md#what-is-published): every room and user of it over one subscription.
 *
 * The stream numbers its messages without holes, and all of them are read, so what comes after a lost connection goes on
 * where it stopped, and a hole means one thing only: what was there is past the stream's retention. Whoever needs it
 * asks for a snapshot then.
 */
import type { NatsConnection } from "nats";
import type { Position } from "../../../actors/entry.ts";
import type { OrderedEvent } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import type { ReceiptEvent } from "../../matrix/receipt.ts";
import { translate } from "../client/connection.ts";
import type { Delivered } from "../client/delivered.ts";
import { StreamReader } from "../client/stream-reader.ts";
import { decode } from "../contract/codec.ts";
import type { FullyRead } from "../contract/fields.ts";
import { deltaStream } from "../contract/subjects.ts";
import { publishedAt, publishedOf } from "./published-header.ts";

interface Published {
  readonly v: 1;
  readonly room_id: RoomId;
  readonly position: Position;
}

export interface EventsDelta extends Published {
  readonly kind: "events";
  readonly previous: Position;
  readonly events: readonly OrderedEvent[];
}

export interface ReceiptsDelta extends Published {
  readonly kind: "receipts";
  readonly previous: Position;
  readonly event: ReceiptEvent;
}

/** What only its user may see. */
interface PrivateDelta extends Published {
  readonly kind: "private";
  readonly user_id: UserId;
  readonly event?: ReceiptEvent;
  readonly fully_read?: FullyRead;
}

export type Delta = EventsDelta | ReceiptsDelta | PrivateDelta;

/** How far a partition's deltas were read. */
export interface DeltaMark {
  /** Of the delta stream. */
  readonly sequence: number;
  /** Every change of the partition through here was published at or before that sequence. */
  readonly published: Position;
}

interface DeltaReaderOptions {
  readonly partition: number;
  /** How many of the deltas that are there already are read too. */
  readonly back?: number;
  /** `bytes` is the size of the message. */
  readonly onDelta: (delta: Delta, mark: DeltaMark, bytes: number) => void;
  /** Deltas between the mark before and this one are gone. */
  readonly onLost: (mark: DeltaMark) => void;
}

export class DeltaReader {
  readonly #options: DeltaReaderOptions;
  readonly #reader: StreamReader;
  #mark: DeltaMark;
  /** What was there at the start has been read. */
  readonly caughtUp: Promise<void>;
  readonly #reached: { readonly sequence: number; readonly resolve: () => void };

  private constructor(nc: NatsConnection, options: DeltaReaderOptions, from: DeltaMark, last: number) {
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

  /** Begins behind what is published now, or a little earlier. Throws `BUS_UNAVAILABLE` when the partition has no delta stream. */
  static async open(nc: NatsConnection, options: DeltaReaderOptions): Promise<DeltaReader> {
    const { partition, back = 0 } = options;
    try {
      const jsm = await nc.jetstreamManager({ checkAPI: false });
      const { first_seq: first, last_seq: last } = (await jsm.streams.info(deltaStream(partition))).state;
      const sequence = Math.min(last, Math.max(0, first - 1, last - back));
      const reader = new DeltaReader(
        nc,
        options,
        { sequence, published: await publishedAt(jsm, partition, sequence) },
        last,
      );
      await reader.#reader.opened;
      return reader;
    } catch (error) {
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
    const kind = kindOf(message.subject);
    if (kind === undefined) return;
    const delta = { ...(decode(message.data) as object), kind } as Delta;
    this.#options.onDelta(delta, this.#mark, message.data.length);
  }
}

function kindOf(subject: string): Delta["kind"] | undefined {
  if (subject.startsWith("tidemark.user.")) return "private";
  if (subject.endsWith(".events")) return "events";
  return subject.endsWith(".receipts") ? "receipts" : undefined;
}
