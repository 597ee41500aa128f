/**
 * Changes of bytes: what is put into an object as its first members, and which of its members are cut out.
 *
 *     { "age": 5, "order": 7 }   with `"order":8` put in:   {"order":8, "age": 5 }
 */

import type { Steps } from "../in-slices.ts";

/** Bytes from `at` to `end` that are replaced. */
export interface Edit {
  readonly at: number;
  readonly end: number;
  readonly text: string;
}

/** A JSON object, as far as a change has to know it. */
export interface EditedObject {
  /** The offset after its opening bracket. */
  readonly inside: number;
  /** Whether any member stays. */
  readonly hasMembers: boolean;
  /** What goes of the members that are cut out. */
  readonly cuts: readonly Edit[];
}

/** Collects an `EditedObject` while its members go by. Members of these names are cut out, each of them. */
export class ObjectMembers {
  readonly #inside: number;
  readonly #names: ReadonlySet<string>;
  readonly #cuts: Edit[] = [];
  /** Where the last member that stays ends. */
  #keptEnd: number;
  #hasMembers = false;
  /** Where the members begin that are cut out and follow each other. */
  #cutFrom: number | undefined;
  #end: number;
  #isKept = true;

  constructor(inside: number, names: ReadonlySet<string>) {
    this.#inside = inside;
    this.#names = names;
    this.#keptEnd = inside;
    this.#end = inside;
  }

  begin(name: string | undefined, at: number): void {
    this.#isKept = name === undefined || !this.#names.has(name);
    if (!this.#isKept) {
      this.#cutFrom ??= at;
    } else if (this.#cutFrom !== undefined) {
      this.#cuts.push({ at: this.#cutFrom, end: at, text: "" });
      this.#cutFrom = undefined;
    }
  }

  /** The member that was begun last ends. */
  end(at: number): void {
    this.#end = at;
    if (!this.#isKept) return;
    this.#keptEnd = at;
    this.#hasMembers = true;
  }

  close(): EditedObject {
    // After the last member there is no comma that could go with it: the one before it goes.
    if (this.#cutFrom !== undefined) this.#cuts.push({ at: this.#keptEnd, end: this.#end, text: "" });
    return { inside: this.#inside, hasMembers: this.#hasMembers, cuts: this.#cuts };
  }
}

/** Puts members, as JSON with commas between them, in front of those that an object has. */
export function putInto({ inside, hasMembers }: EditedObject, members: string): Edit {
  return { at: inside, end: inside, text: hasMembers ? `${members},` : members };
}

/** Edits of a step. */
const STEP_EDITS = 256;

/** Returns the bytes with the edits, which don't overlap. Of those at one offset, the first given is applied first. */
export function* edited(bytes: Buffer, edits: readonly Edit[]): Steps<Buffer> {
  if (edits.length === 0) return bytes;
  let length = bytes.length;
  for (const { at, end, text } of edits) length += at - end + Buffer.byteLength(text);
  yield;
  const sorted = edits.toSorted((a, b) => a.at - b.at);
  const result = Buffer.allocUnsafe(length);
  let done = 0;
  let written = 0;
  for (const [i, { at, end, text }] of sorted.entries()) {
    written += bytes.copy(result, written, done, at);
    written += result.write(text, written);
    done = end;
    if (i % STEP_EDITS === 0) yield;
  }
  bytes.copy(result, written, done);
  return result;
}
