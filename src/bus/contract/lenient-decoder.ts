/**
 * Decodes MessagePack that `messagePackFault` has accepted for pruning, with the values that are to be pruned: numbers
 * that are not finite, keys named `__proto__` as keys of their own, and `undefined` for what is nested too deep. msgpackr
 * renames such a key, and would recurse.
 *
 * Only messages with such values come here, so it need not be fast. It is as strict and as bounded as that check was.
 */
import { DEPTH_MAX } from "../../limits.ts";

export function decodeLeniently(bytes: Uint8Array): unknown {
  return new LenientDecoder(bytes).value(0);
}

/** What a token stands for: a scalar, or the length of what follows it. */
type Token =
  | { readonly scalar: null | boolean | number }
  | { readonly text: number }
  | { readonly items: number }
  | { readonly entries: number };

class LenientDecoder {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** `depth`: how many containers the value is in. */
  value(depth: number): unknown {
    const token = this.#token();
    if ("scalar" in token) return token.scalar;
    if ("text" in token) return this.#text(token.text);
    if (depth === DEPTH_MAX) {
      this.#skip("items" in token ? token.items : token.entries * 2);
      return undefined;
    }
    if ("items" in token) return Array.from({ length: token.items }, () => this.value(depth + 1));
    const map: Record<string, unknown> = {};
    for (let i = 0; i < token.entries; i++) {
      const key = String(this.value(depth + 1));
      const value = this.value(depth + 1);
      if (key === "__proto__") define(map, key, value);
      else map[key] = value;
    }
    return map;
  }

  /** Skips values, however deep they are. */
  #skip(values: number): void {
    for (let left = values; left > 0; left--) {
      const token = this.#token();
      if ("text" in token) this.#at += token.text;
      else if ("items" in token) left += token.items;
      else if ("entries" in token) left += token.entries * 2;
    }
  }

  /** The text that the next bytes are. What is not UTF-8 becomes U+FFFD. */
  #text(length: number): string {
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }

  #token(): Token {
    const token = this.#bytes[this.#at++]!;
    if (token <= 0x7f) return { scalar: token };
    if (token >= 0xe0) return { scalar: token - 0x100 };
    if (token <= 0x8f) return { entries: token & 0x0f };
    if (token <= 0x9f) return { items: token & 0x0f };
    if (token <= 0xbf) return { text: token & 0x1f };
    switch (token) {
      case 0xc2:
        return { scalar: false };
      case 0xc3:
        return { scalar: true };
      case 0xca:
        return { scalar: this.#read(4, (at) => this.#bytes.readFloatBE(at)) };
      case 0xcb:
        return { scalar: this.#read(8, (at) => this.#bytes.readDoubleBE(at)) };
      case 0xcc:
        return { scalar: this.#unsigned(1) };
      case 0xcd:
        return { scalar: this.#unsigned(2) };
      case 0xce:
        return { scalar: this.#unsigned(4) };
      case 0xcf:
        return { scalar: this.#read(8, (at) => Number(this.#bytes.readBigUInt64BE(at))) };
      case 0xd0:
        return { scalar: this.#read(1, (at) => this.#bytes.readInt8(at)) };
      case 0xd1:
        return { scalar: this.#read(2, (at) => this.#bytes.readInt16BE(at)) };
      case 0xd2:
        return { scalar: this.#read(4, (at) => this.#bytes.readInt32BE(at)) };
      case 0xd3:
        return { scalar: this.#read(8, (at) => Number(this.#bytes.readBigInt64BE(at))) };
      case 0xd9:
        return { text: this.#unsigned(1) };
      case 0xda:
        return { text: this.#unsigned(2) };
      case 0xdb:
        return { text: this.#unsigned(4) };
      case 0xdc:
        return { items: this.#unsigned(2) };
      case 0xdd:
        return { items: this.#unsigned(4) };
      case 0xde:
        return { entries: this.#unsigned(2) };
      case 0xdf:
        return { entries: this.#unsigned(4) };
      default:
        return { scalar: null };
    }
  }

  #unsigned(size: 1 | 2 | 4): number {
    return this.#read(size, (at) => this.#bytes.readUIntBE(at, size));
  }

  #read(size: number, read: (at: number) => number): number {
    this.#at += size;
    return read(this.#at - size);
  }
}

/** An assignment would set the prototype. */
function define(map: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
}
