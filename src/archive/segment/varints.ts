/** Columns of integers, of as few bytes as each needs. All are exact up to ±(2^53 − 1). */

const MORE = 0x80;
const GROUP = 0x80;
const NEGATIVE = 0x40;
const SIGNED_GROUP = 0x40;

export class VarintWriter {
  #bytes = Buffer.allocUnsafe(256);
  #end = 0;

  /** An integer from 0 on. */
  add(value: number): void {
    let rest = value;
    while (rest >= GROUP) {
      this.#put((rest % GROUP) | MORE);
      rest = Math.floor(rest / GROUP);
    }
    this.#put(rest);
  }

  addSigned(value: number): void {
    const size = Math.abs(value);
    const first = (size % SIGNED_GROUP) | (value < 0 ? NEGATIVE : 0);
    if (size < SIGNED_GROUP) {
      this.#put(first);
      return;
    }
    this.#put(first | MORE);
    this.add(Math.floor(size / SIGNED_GROUP));
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  #put(byte: number): void {
    if (this.#end === this.#bytes.length) {
      const larger = Buffer.allocUnsafe(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#end++] = byte;
  }
}

export class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Throws a RangeError behind the end. */
  next(): number {
    let value = 0;
    for (let factor = 1; ; factor *= GROUP) {
      const byte = this.#take();
      value += (byte % GROUP) * factor;
      if (byte < MORE) return value;
    }
  }

  nextSigned(): number {
    const first = this.#take();
    const size = (first % SIGNED_GROUP) + ((first & MORE) === 0 ? 0 : this.next() * SIGNED_GROUP);
    return (first & NEGATIVE) === 0 ? size : -size;
  }

  #take(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new RangeError("a column ends too early");
    return byte;
  }
}
