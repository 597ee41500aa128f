/**
 * Values as JSON, side by side in large buffers.
 *
 * As objects, the receipts and events of a cache take up to ten times as much memory, more if somebody wants it, and the
 * garbage collector visits them again and again. A buffer is freed once no value in it is referenced, so values should
 * be dropped in the order in which they were added. JSON, since Node reads and writes small values in it several times as
 * fast as in MessagePack.
 */
const BUFFER_BYTES = 65_536;

/** The UTF-8 of a UTF-16 unit has at most so many bytes. */
const BYTES_PER_UNIT_MAX = 3;

export interface Packed {
  readonly buffer: Buffer;
  readonly begin: number;
  readonly end: number;
}

export class PackedValues {
  #buffer = Buffer.alloc(0);
  #used = 0;

  add(value: unknown): Packed {
    const text = JSON.stringify(value);
    if (this.#used + text.length * BYTES_PER_UNIT_MAX > this.#buffer.length) {
      const bytes = Buffer.byteLength(text);
      if (this.#used + bytes > this.#buffer.length) {
        this.#buffer = Buffer.allocUnsafeSlow(Math.max(BUFFER_BYTES, bytes));
        this.#used = 0;
      }
    }
    const begin = this.#used;
    this.#used += this.#buffer.write(text, begin);
    return { buffer: this.#buffer, begin, end: this.#used };
  }
}

export function unpacked({ buffer, begin, end }: Packed): unknown {
  return JSON.parse(buffer.toString("utf8", begin, end));
}

export function bytesOf({ begin, end }: Packed): number {
  return end - begin;
}
