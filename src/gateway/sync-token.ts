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

const FORM = /^t[0-9a-z]+(?:\.[0-9a-z]+){2}(?:_[0-9a-z]+(?:\.[0-9a-z]+){2})*$/;

export function encodeSyncToken(token: SyncToken): string {
  const marks = token.map(({ sequence, published, memberships }) =>
    [sequence, published, memberships].map((number) => number.toString(36)).join("."),
  );
  return `t${marks.join("_")}`;
}

/** Throws `M_INVALID_PARAM` for what no Tidemark of these partitions made. */
export function decodeSyncToken(text: string, partitions: number): SyncToken {
  const token = FORM.test(text) ? text.slice(1).split("_").map(parseMark) : [];
  if (token.length === partitions && token.every(isMark)) return token;
  throw invalidParam("since: is no token of this server");
}

function parseMark(text: string): SyncMark {
  const [sequence = Number.NaN, published = Number.NaN, memberships = Number.NaN] = text
    .split(".")
    .map((digits) => Number.parseInt(digits, 36));
  return { sequence, published, memberships };
}

function isMark({ sequence, published, memberships }: SyncMark): boolean {
  return [sequence, published, memberships].every(Number.isSafeInteger);
}
