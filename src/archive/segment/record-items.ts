/**
 * Where the entries of a record stand in its bytes. They were decoded before, so they are whole MessagePack of plain types; here they are
 * only found, since an event's bytes are archived as they are.
 */

/* First bytes of MessagePack. */
const FIX_MAP = 0x80;
const FIX_ARRAY = 0x90;
const FIX_TEXT = 0xa0;
const NIL = 0xc0;
const NEGATIVE_FIX = 0xe0;
const ARRAY_16 = 0xdc;
const ARRAY_32 = 0xdd;

/** From `NIL` on: the bytes that follow the first one, for what has a size of its own. */
const SIZES: Readonly<Record<number, number>> = {
  192: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  207: 8,
  208: 1,
  209: 2,
  210: 4,
  211: 8,
};

/** Of binary data, text, arrays and maps: the bytes of their length. */
const LENGTHS: Readonly<Record<number, readonly [bytes: 1 | 2 | 4, counts: "bytes" | "items" | "pairs"]>> = {
  196: [1, "bytes"],
  197: [2, "bytes"],
  198: [4, "bytes"],
  217: [1, "bytes"],
  218: [2, "bytes"],
  219: [4, "bytes"],
  220: [2, "items"],
  221: [4, "items"],
  222: [2, "pairs"],
  223: [4, "pairs"],
};

/** Where each entry begins, and at last where the record ends; undefined for what is no record of known form. */
export function entriesAt(record: Buffer): readonly number[] | undefined {
  const walk = new Walk(record);
  try {
    if (walk.arrayLength() !== 3) return undefined;
    walk.skip();
    walk.skip();
    const count = walk.arrayLength();
    if (count === undefined) return undefined;
    const places = [walk.at];
    for (let i = 0; i < count; i++) {
      walk.skip();
      places.push(walk.at);
    }
    return walk.at === record.length ? places : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

class Walk {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** undefined if the next value is no array. */
  arrayLength(): number | undefined {
    const first = this.#take(1);
    if (first >= FIX_ARRAY && first < FIX_TEXT) return first - FIX_ARRAY;
    if (first === ARRAY_16) return this.#take(2);
    return first === ARRAY_32 ? this.#take(4) : undefined;
  }

  skip(): void {
    for (let values = 1; values > 0; values--) {
      const first = this.#take(1);
      if (first < FIX_MAP || first >= NEGATIVE_FIX) continue;
      if (first < FIX_ARRAY) values += 2 * (first - FIX_MAP);
      else if (first < FIX_TEXT) values += first - FIX_ARRAY;
      else if (first < NIL) this.#pass(first - FIX_TEXT);
      else values += this.#skipRest(first);
    }
  }

  /** Returns how many values follow that belong to this one. */
  #skipRest(first: number): number {
    const size = SIZES[first];
    if (size !== undefined) {
      this.#pass(size);
      return 0;
    }
    const length = LENGTHS[first];
    if (length === undefined) throw new RangeError("not a plain type");
    const count = this.#take(length[0]);
    if (length[1] === "bytes") this.#pass(count);
    return length[1] === "bytes" ? 0 : length[1] === "items" ? count : 2 * count;
  }

  #take(bytes: 1 | 2 | 4): number {
    const value = this.#bytes.readUIntBE(this.at, bytes);
    this.at += bytes;
    return value;
  }

  #pass(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#bytes.length) throw new RangeError("it ends too early");
  }
}
