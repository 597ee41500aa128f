/**
 * Seals what a client hands back to the gateways, so that it can neither read nor change it. Only its user can hand it back: the user
 * is authenticated with it (AES-GCM's additional data), and not in it.
 *
 *     s base64url( key id: 4 bytes | nonce: 12 bytes | AES-256-GCM of the content | tag: 16 bytes )
 *
 * Nonces are random, which is safe for 2^32 tokens of a key: all gateways together would have to write 50,000 tokens a second
 * for a day.
 */
import { createCipheriv, createDecipheriv, randomFillSync } from "node:crypto";
import type { SealingKey, SealingKeys } from "../../bus/sealing-keys.ts";
import type { UserId } from "../../matrix/ids.ts";

const CIPHER = "aes-256-gcm";
const ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = ID_BYTES + NONCE_BYTES;
const NONCES_AT_ONCE = 512;
const OPTIONS = { authTagLength: TAG_BYTES };
/** The form of sealed text. */
export const SEALED = /^s[\w-]+$/;

export class TokenSeal {
  readonly #keys: Pick<SealingKeys, "newest" | "find">;
  readonly #random = Buffer.alloc(NONCES_AT_ONCE * NONCE_BYTES);
  #used = this.#random.length;

  constructor(keys: Pick<SealingKeys, "newest" | "find">) {
    this.#keys = keys;
  }

  /** `content`: one after the other. */
  seal(user: UserId, content: readonly Uint8Array[]): string {
    const { id, key } = this.#keys.newest;
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(id);
    this.#nonce().copy(head, ID_BYTES);
    const cipher = createCipheriv(CIPHER, key, head.subarray(ID_BYTES), OPTIONS).setAAD(Buffer.from(user));
    const parts = [head, ...content.map((part) => cipher.update(part))];
    cipher.final();
    return `s${Buffer.concat([...parts, cipher.getAuthTag()]).toString("base64url")}`;
  }

  /** Random bytes are made for many tokens at a time: a call costs more than they do. */
  #nonce(): Buffer {
    if (this.#used === this.#random.length) {
      randomFillSync(this.#random);
      this.#used = 0;
    }
    this.#used += NONCE_BYTES;
    return this.#random.subarray(this.#used - NONCE_BYTES, this.#used);
  }

  /** Returns undefined for what no gateway has sealed for this user, or with a key that is gone. */
  open(user: UserId, text: string): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    if (!SEALED.test(text)) return undefined;
    const bytes = Buffer.from(text.slice(1), "base64url");
    if (bytes.length < HEAD_BYTES + TAG_BYTES) return undefined;
    const key = this.#keys.find(bytes.readUInt32BE());
    return key instanceof Promise ? key.then((found) => opened(found, user, bytes)) : opened(key, user, bytes);
  }
}

function opened(key: SealingKey | undefined, user: UserId, bytes: Buffer): Uint8Array | undefined {
  if (key === undefined) return undefined;
  const nonce = bytes.subarray(ID_BYTES, HEAD_BYTES);
  const decipher = createDecipheriv(CIPHER, key.key, nonce, OPTIONS);
  decipher.setAAD(Buffer.from(user));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  const content = decipher.update(bytes.subarray(HEAD_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return content;
}
