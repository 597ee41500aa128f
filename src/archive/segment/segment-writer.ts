/** Makes a segment of messages that follow each other in a partition's log (`segment-format.ts`). */
import type { LogStart } from "../../../actors/entry.ts";
import { encode } from "../../bus/contract/codec.ts";
import { ARCHIVE_BLOCK_BYTES } from "../../limits.ts";
import { type ArchivedMessage, BlockWriter } from "./block-writer.ts";
import { digestOf, HEAD, type PartPlace, packed, type SegmentIndex, tailOf } from "./segment-format.ts";

interface SegmentOptions {
  readonly partition: number;
  readonly lineage: LogStart["lineage"];
  /** The version of the fold whose notes it gets. */
  readonly fold: number;
  /** Bytes of messages from which on a block is full. Default: `ARCHIVE_BLOCK_BYTES`. */
  readonly blockBytes?: number;
}

/** A segment, and what a manifest says of it. */
export interface WrittenSegment {
  readonly bytes: Uint8Array;
  readonly first: number;
  readonly last: number;
  readonly entries: number;
  readonly index: { readonly bytes: number; readonly digest: string };
}

type Block = SegmentIndex["blocks"][number];

export class SegmentWriter {
  readonly #options: SegmentOptions;
  /** Finished blocks are compressed while more is added. */
  readonly #blocks: Promise<{ readonly block: Block; readonly bytes: readonly Uint8Array[] }>[] = [];
  #open: { readonly first: number; readonly writer: BlockWriter } | undefined;
  #first = 0;
  #last = 0;
  #entries = 0;
  #messageBytes = 0;

  constructor(options: SegmentOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#last === 0;
  }

  /** Bytes of messages so far. */
  get messageBytes(): number {
    return this.#messageBytes;
  }

  get last(): number {
    return this.#last;
  }

  /** Throws unless the message is the next one of the log. */
  add(message: ArchivedMessage): void {
    const { placed, data, notes } = message;
    const { sequence, entries } = placed.record;
    if (!this.isEmpty && sequence !== this.#last + 1)
      throw new Error(`a segment goes on at ${sequence} after ${this.#last}`);
    if (notes.length !== entries.length) throw new Error("a message of a segment has a note for each entry");
    if (this.isEmpty) this.#first = sequence;
    this.#open ??= { first: sequence, writer: new BlockWriter(sequence) };
    this.#open.writer.add(message);
    this.#last = sequence;
    this.#entries += entries.length;
    this.#messageBytes += data.length;
    if (this.#open.writer.bytes >= (this.#options.blockBytes ?? ARCHIVE_BLOCK_BYTES)) this.#closeBlock();
  }

  /** Throws when nothing was added. */
  async finish(): Promise<WrittenSegment> {
    this.#closeBlock();
    if (this.isEmpty) throw new Error("a segment has at least one message");
    const { partition, lineage, fold } = this.#options;
    const blocks = await Promise.all(this.#blocks);
    const index: SegmentIndex = {
      partition,
      lineage,
      fold,
      first: this.#first,
      last: this.#last,
      entries: this.#entries,
      blocks: blocks.map(({ block }) => block),
    };
    const indexBytes = encode(index);
    const bytes = Buffer.concat([HEAD, ...blocks.flatMap((block) => block.bytes), indexBytes, tailOf(indexBytes)]);
    return {
      bytes,
      first: this.#first,
      last: this.#last,
      entries: this.#entries,
      index: { bytes: indexBytes.length, digest: digestOf(indexBytes).toString("hex") },
    };
  }

  #closeBlock(): void {
    if (this.#open === undefined) return;
    const { first, writer } = this.#open;
    const { bodies, columns } = writer.finish();
    this.#open = undefined;
    const block = Promise.all([packed(bodies), packed(columns)]).then((bytes) => ({
      block: { first, bodies: placeOf(bytes[0]), columns: placeOf(bytes[1]) },
      bytes,
    }));
    block.catch(() => {}); // `finish` throws it.
    this.#blocks.push(block);
  }
}

function placeOf(bytes: Uint8Array): PartPlace {
  return { bytes: bytes.length, digest: digestOf(bytes) };
}
