/**
 * Patterns of event types in a filter, prepared once: `*` matches any number of characters.
 *
 * A long timeline is filtered in one turn of the event loop, so the cost per event is bounded: names are looked up in a
 * set, and `FILTER_WILDCARDS_MAX` bounds the parts that are searched for.
 */
import { FILTER_WILDCARDS_MAX, ID_CHARS_MAX } from "../limits.ts";

/** A type has at most so many UTF-16 units. A pattern with more text matches none. */
const TYPE_UNITS_MAX = 2 * ID_CHARS_MAX;

/** Returns how many wildcards the patterns have. Neighbours count as one. */
export function wildcardsIn(patterns: readonly string[]): number {
  return patterns.reduce((sum, pattern) => sum + partsOf(pattern).length - 1, 0);
}

export class TypePatterns {
  readonly #exact = new Set<string>();
  /** Of patterns with one wildcard, at the end. */
  readonly #prefixes: string[] = [];
  /** Of other patterns with wildcards: the text before, between and after them. */
  readonly #parts: (readonly string[])[] = [];

  /** Throws a `RangeError` beyond `FILTER_WILDCARDS_MAX`, which the schema of filters excludes. */
  constructor(patterns: readonly string[]) {
    if (wildcardsIn(patterns) > FILTER_WILDCARDS_MAX) throw new RangeError("too many wildcards");
    for (const pattern of patterns) {
      const parts = partsOf(pattern);
      if (parts.length === 1) this.#exact.add(pattern);
      else if (parts.length === 2 && parts[1] === "") this.#prefixes.push(parts[0]!);
      else if (pattern.length - parts.length <= TYPE_UNITS_MAX) this.#parts.push(parts);
    }
  }

  matches(type: string): boolean {
    if (this.#exact.has(type) || this.#prefixes.some((prefix) => type.startsWith(prefix))) return true;
    return this.#parts.some((parts) => matches(parts, type));
  }
}

function partsOf(pattern: string): string[] {
  return pattern.replace(/\*+/g, "*").split("*");
}

function matches(parts: readonly string[], type: string): boolean {
  const first = parts[0]!;
  const last = parts.at(-1)!;
  if (!type.startsWith(first)) return false;
  let at = first.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const found = type.indexOf(parts[i]!, at);
    if (found < 0) return false;
    at = found + parts[i]!.length;
  }
  return type.length - at >= last.length && type.endsWith(last);
}
