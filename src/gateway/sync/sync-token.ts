/**
 * `next_batch` and `since`: how far a client was shown each partition, so that any gateway can go on from there.
 *
 *     t<sequence>.<published>_…~<memberships>_…        one of each for each partition, base 36
 *
 * - `sequence` is that of the delta stream: exact, for a gateway that still has the deltas since then.
 * - `published` is the log position through which everything had been published by then: for a gateway that has not,
 *   however old the token. Going by positions alone would not do, because rooms of one partition are not published in the
 *   order of their positions.
 * - `memberships` is the position of the user's newest membership that the client knows.
 *
 * Until the next delta comes, the first half is the same for everybody, and a user's second half seldom changes. So
 * neither is written for each request, nor read when it was written here.
 */
import { LRUCache } from "lru-cache";
import type { Position } from "../../../actors/entry.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import { invalidParam } from "../../http/matrix-error.ts";
import { SYNC_MARKS_CACHED_MAX, SYNC_MEMBERSHIPS_CACHED_MAX } from "../../limits.ts";

/** Both by partition. */
export interface SyncToken {
  readonly marks: readonly DeltaMark[];
  readonly memberships: readonly Position[];
}

const BASE = 36;
const NUMBER = /^[0-9a-z]+$/;

/** Halves that were written here lately. What clients send is never kept: it may be anything. */
class Halves<T extends readonly unknown[]> {
  readonly #texts: LRUCache<T, string>;
  readonly #written: LRUCache<string, T>;
  readonly #parse: (text: string) => T;

  constructor(max: number, numbers: (half: T) => number[][], parse: (text: string) => T) {
    this.#written = new LRUCache({ max });
    this.#texts = new LRUCache<T, string>({
      max,
      memoMethod: (half) => {
        const text = textOf(numbers(half));
        this.#written.set(text, half);
        return text;
      },
    });
    this.#parse = parse;
  }

  write(half: T): string {
    return this.#texts.memo(half);
  }

  /** Empty for what is none. */
  read(text: string): T {
    return this.#written.get(text) ?? this.#parse(text);
  }
}

const marksHalves = new Halves<readonly DeltaMark[]>(
  SYNC_MARKS_CACHED_MAX,
  (marks) => marks.map(({ sequence, published }) => [sequence, published]),
  (text) => numbersOf(text, 2).map(([sequence, published]) => ({ sequence: sequence!, published: published! })),
);
const membershipsHalves = new Halves<readonly Position[]>(
  SYNC_MEMBERSHIPS_CACHED_MAX,
  (memberships) => memberships.map((position) => [position]),
  (text) => numbersOf(text, 1).map(([position]) => position!),
);

/** The arrays that are given must not change afterwards. */
export function encodeSyncToken(marks: readonly DeltaMark[], memberships: readonly Position[]): string {
  return `t${marksHalves.write(marks)}~${membershipsHalves.write(memberships)}`;
}

/** Throws `M_INVALID_PARAM`, which names the parameter, for what no Tidemark of these partitions made. */
export function decodeSyncToken(text: string, partitions: number, parameter: string): SyncToken {
  const middle = text.indexOf("~");
  if (text.startsWith("t") && middle > 0) {
    const marks = marksHalves.read(text.slice(1, middle));
    const memberships = membershipsHalves.read(text.slice(middle + 1));
    if (marks.length === partitions && memberships.length === partitions) return { marks, memberships };
  }
  throw invalidParam(`${parameter}: is no token of this server`);
}

function textOf(numbers: readonly (readonly number[])[]): string {
  return numbers.map((each) => each.map((number) => number.toString(BASE)).join(".")).join("_");
}

/** So many numbers for each partition; empty where it is otherwise. */
function numbersOf(text: string, each: number): number[][] {
  const parts = text
    .split("_")
    .map((part) => part.split(".").map((digits) => (NUMBER.test(digits) ? Number.parseInt(digits, BASE) : Number.NaN)));
  return parts.every((numbers) => numbers.length === each && numbers.every(Number.isSafeInteger)) ? parts : [];
}
