/**
 * `next_batch` and `since`: how far a client was shown each partition, so that any gateway can go on from there.
 *
 *     t<sequence>.<published>.<memberships>_…        one for each partition, base 36
 *
 * - `sequence` is that of the delta stream: exact, for a gateway that still has the deltas since then.
 * - `published` is the log position through which everything had been published by then: for a gateway that has not,
 *   however old the token. Going by positions alone would not do, because rooms of one partition are not published in the
 *   order of their positions.
 * - `memberships` is the position of the user's newest membership that the client knows.
 */
import type { Position } from "../../actors/entry.ts";
import type { DeltaMark } from "../bus/delta-reader.ts";
import { invalidParam } from "./matrix-error.ts";

export interface SyncMark extends DeltaMark {
  readonly memberships: Position;
}

export type SyncToken = readonly SyncMark[];

const BASE = 36;
const DIGITS = 10;
const DIGIT_0 = 48;
const LETTER_A = 97;
const DOT = 46;
const UNDERSCORE = 95;
const FORM = /^t[0-9a-z]+(?:\.[0-9a-z]+){2}(?:_[0-9a-z]+(?:\.[0-9a-z]+){2})*$/;

/** By partition: the mark that was written last. It stands in thousands of tokens until the next delta comes. */
const written: { readonly mark: DeltaMark; readonly text: string }[] = [];

/** By partition: how far it was read, and the user's newest membership in it. */
export function encodeSyncToken(marks: readonly DeltaMark[], memberships: readonly Position[]): string {
  let text = "t";
  for (let partition = 0; partition < marks.length; partition++) {
    if (partition > 0) text += "_";
    text += `${markText(partition, marks[partition]!)}.${memberships[partition]!.toString(BASE)}`;
  }
  return text;
}

function markText(partition: number, mark: DeltaMark): string {
  const last = written[partition];
  if (last?.mark === mark) return last.text;
  const text = `${mark.sequence.toString(BASE)}.${mark.published.toString(BASE)}`;
  written[partition] = { mark, text };
  return text;
}

/** Throws `M_INVALID_PARAM` for what no Tidemark of these partitions made. */
export function decodeSyncToken(text: string, partitions: number): SyncToken {
  const token = FORM.test(text) ? parseMarks(text) : [];
  if (token.length === partitions && token.every(isMark)) return token;
  throw invalidParam("since: is no token of this server");
}

/** Of a text that has the form. */
function parseMarks(text: string): SyncMark[] {
  const marks: SyncMark[] = [];
  let sequence = 0;
  let published = 0;
  let number = 0;
  let dots = 0;
  for (let at = 1; at <= text.length; at++) {
    const code = at === text.length ? UNDERSCORE : text.charCodeAt(at);
    if (code === DOT) {
      if (dots++ === 0) sequence = number;
      else published = number;
      number = 0;
    } else if (code === UNDERSCORE) {
      marks.push({ sequence, published, memberships: number });
      number = 0;
      dots = 0;
    } else {
      number = number * BASE + (code < LETTER_A ? code - DIGIT_0 : code - LETTER_A + DIGITS);
    }
  }
  return marks;
}

function isMark({ sequence, published, memberships }: SyncMark): boolean {
  return [sequence, published, memberships].every(Number.isSafeInteger);
}
