/** Reads a segment of the archive: its messages in log order, or one event by its position (`segment-format.ts`). */
import { type EventEntry, type Position, sequenceOf } from "../../../actors/entry.ts";
import { decode } from "../../bus/contract/codec.ts";
import type { ObjectName, ObjectStore } from "../object-store.ts";
import { type BlockPlace, eventIn, messagesIn, type SegmentMessage } from "./block-reader.ts";
import {
  damaged,
  digestOf,
  gone,
  HEAD,
  INDEX,
  type SegmentIndex,
  TAIL_BYTES,
  tailOf,
  unpacked,
} from "./segment-format.ts";
import type { WrittenSegment } from "./segment-writer.ts";

/** Where a segment is, and what its index must be. */
export interface SegmentPlace {
  readonly name: ObjectName;
  /** Of the object. */
  readonly bytes: number;
  readonly index: WrittenSegment["index"];
}

interface Block extends BlockPlace {
  /** Where its bodies begin in the object. Its columns follow. */
  readonly from: number;
  readonly parts: SegmentIndex["blocks"][number];
}

export class Segment {
  readonly #store: Pick<ObjectStore, "get">;
  readonly #place: SegmentPlace;
  readonly index: SegmentIndex;
  readonly #blocks: readonly Block[];

  private constructor(store: Pick<ObjectStore, "get">, place: SegmentPlace, index: SegmentIndex) {
    this.#store = store;
    this.#place = place;
    this.index = index;
    let from = HEAD.length;
    this.#blocks = index.blocks.map((parts) => {
      const block = { partition: index.partition, first: parts.first, from, parts };
      from += parts.bodies.bytes + parts.columns.bytes;
      return block;
    });
    if (from + place.index.bytes + TAIL_BYTES !== place.bytes) throw damaged(place.name, "its length");
  }

  /** Reads the index. Throws `ARCHIVE_DAMAGED` for one that isn't the one of the place, `ARCHIVE_UNAVAILABLE`. */
  static async open(store: Pick<ObjectStore, "get">, place: SegmentPlace): Promise<Segment> {
    const { name, bytes, index } = place;
    const length = index.bytes + TAIL_BYTES;
    const read = await store.get(name, { from: bytes - length, length });
    if (read === undefined) throw gone(name);
    const stored = read.subarray(0, index.bytes);
    const isIndex =
      digestOf(stored).toString("hex") === index.digest && tailOf(stored).equals(read.subarray(index.bytes));
    if (!isIndex) throw damaged(name, "its index");
    return new Segment(store, place, INDEX.parse(decode(stored)));
  }

  /** All messages from a sequence on. Reads the object as a whole. Throws `ARCHIVE_DAMAGED`, `ARCHIVE_UNAVAILABLE`. */
  async *messages(from = 0): AsyncGenerator<SegmentMessage> {
    const object = await this.#store.get(this.#place.name);
    if (object === undefined) throw gone(this.#place.name);
    if (object.length !== this.#place.bytes) throw damaged(this.#place.name, "its length");
    if (!HEAD.equals(object.subarray(0, HEAD.length))) throw damaged(this.#place.name, "its head");
    for (const [i, block] of this.#blocks.entries()) {
      const next = this.#blocks[i + 1];
      if (next !== undefined && next.first <= from) continue;
      const { bodies, columns } = block.parts;
      const middle = block.from + bodies.bytes;
      const [bodiesPart, columnsPart] = await Promise.all([
        unpacked(object.subarray(block.from, middle), bodies, this.#place.name),
        unpacked(object.subarray(middle, middle + columns.bytes), columns, this.#place.name),
      ]);
      for (const message of messagesIn({ bodies: bodiesPart, columns: columnsPart }, block)) {
        if (message.placed.record.sequence >= from) yield message;
      }
    }
  }

  /** The event at a position, in one ranged read; undefined if no event is there. Throws as `messages`. */
  async eventAt(position: Position): Promise<EventEntry | undefined> {
    const sequence = sequenceOf(position);
    if (sequence < this.index.first || sequence > this.index.last) return undefined;
    const block = this.#blocks.findLast(({ first }) => first <= sequence)!;
    const { name } = this.#place;
    const { bodies } = block.parts;
    const read = await this.#store.get(name, { from: block.from, length: bodies.bytes });
    if (read === undefined) throw gone(name);
    return eventIn(await unpacked(read, bodies, name), block, position);
  }
}
