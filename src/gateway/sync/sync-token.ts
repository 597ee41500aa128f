/**
 * Sync tokens (`next_batch`, `since`): how far a client has synced each partition. Any gateway can continue from a
 * token.
 *
 *     t<sequence>.<published>_…~<memberships>_…        one of each per partition, in base 36
 *
 * - `sequence`: of the delta stream. Exact, for a gateway that still has the deltas since then in its cache.
 * - `published`: the log position through which everything had been published by then. For a gateway without those deltas,
 *   however old the token is. Positions alone would not do, because the rooms of a partition are not published in the order
 *   of their positions.
 * - `memberships`: the position of the user's newest membership that the client knows.
 *
 * The first half is the same for all users until the next delta, and a user's second half seldom changes. So both
 * halves are cached, when they are formatted and when they are parsed.
 */
import { LRUCache } from "lru-cache";
import type { Position } from "../../../actors/entry.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import { invalidParam } from "../../http/matrix-error.ts";

/**
 * Halves of sync tokens that are cached in written and in parsed form: those for the latest deltas, and those of users.
 */
const SYNC_MARKS_CACHED_MAX = 1_000;
const SYNC_MEMBERSHIPS_CACHED_MAX = 10_000;

/** Both arrays are indexed by partition. */
export interface SyncToken {
  readonly marks: readonly DeltaMark[];
  readonly memberships: readonly Position[];
}

const BASE = 36;
const NUMBER = /^[0-9a-z]+$/;

/** A cache of recently formatted halves. Text that clients send is never added to it: a client could send anything. */
class HalfCache<T extends readonly unknown[]> {
  readonly #texts: LRUCache<T, string>;
  readonly #values: LRUCache<string, T>;
  readonly #parse: (text: string) => T;

  constructor(max: number, numbers: (half: T) => number[][], parse: (text: string) => T) {
    this.#values = new LRUCache({ max });
    this.#texts = new LRUCache<T, string>({
      max,
      memoMethod: (half) => {
        const text = textOf(numbers(half));
        this.#values.set(text, half);
        return text;
      },
    });
    this.#parse = parse;
  }

  format(half: T): string {
    return this.#texts.memo(half);
  }

  /** Returns an empty array for malformed text. */
  parse(text: string): T {
    return this.#values.get(text) ?? this.#parse(text);
  }
}

const marksHalves = new HalfCache<readonly DeltaMark[]>(
  SYNC_MARKS_CACHED_MAX,
  (marks) => marks.map(({ sequence, published }) => [sequence, published]),
  (text) => numbersOf(text, 2).map(([sequence, published]) => ({ sequence: sequence!, published: published! })),
);
const membershipsHalves = new HalfCache<readonly Position[]>(
  SYNC_MEMBERSHIPS_CACHED_MAX,
  (memberships) => memberships.map((position) => [position]),
  (text) => numbersOf(text, 1).map(([position]) => position!),
);

/** The arrays are cache keys: the caller must not change them afterwards. */
export function encodeSyncToken(marks: readonly DeltaMark[], memberships: readonly Position[]): string {
  return `t${marksHalves.format(marks)}~${membershipsHalves.format(memberships)}`;
}

/** Throws `M_INVALID_PARAM` with the name of the parameter if the text is not a token for this partition count. */
export function decodeSyncToken(text: string, partitions: number, parameter: string): SyncToken {
  const middle = text.indexOf("~");
  if (text.startsWith("t") && middle > 0) {
    const marks = marksHalves.parse(text.slice(1, middle));
    const memberships = membershipsHalves.parse(text.slice(middle + 1));
    if (marks.length === partitions && memberships.length === partitions) return { marks, memberships };
  }
  throw invalidParam(`${parameter}: is not a token of this server`);
}

function textOf(numbers: readonly (readonly number[])[]): string {
  return numbers.map((each) => each.map((number) => number.toString(BASE)).join(".")).join("_");
}

/** Returns `count` numbers per partition, or an empty array for malformed text. */
function numbersOf(text: string, count: number): number[][] {
  const parts = text
    .split("_")
    .map((part) => part.split(".").map((digits) => (NUMBER.test(digits) ? Number.parseInt(digits, BASE) : Number.NaN)));
  return parts.every((numbers) => numbers.length === count && numbers.every(Number.isSafeInteger)) ? parts : [];
}
