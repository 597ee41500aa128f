/**
 * A JSON value that is changed at one place: what a homeserver might push if one other server sent something odd.
 */
import fc from "fast-check";

/** The keys and indexes that lead to a place in a value. */
export type Path = readonly string[];

export interface Mutation {
  readonly path: Path;
  /** What stands there instead; `MISSING` if the key is left out. */
  readonly value: unknown;
}

const MISSING = Symbol("missing");

/** Every place in a value, the value itself excepted. */
export function pathsOf(value: unknown, before: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = [...before, key];
    return [path, ...pathsOf(inner, path)];
  });
}

const deep = (depth: number) => JSON.parse(`${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`) as unknown;

/** Values that only some server would send, and ids that only some server would accept. */
const ODD: readonly unknown[] = [
  MISSING,
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 60,
  1e22,
  "",
  "now",
  "\ud800",
  "x".repeat(70_000),
  [],
  {},
  [null],
  { $e: { "m.read": { "@u:remote": {} } } },
  JSON.parse('{"__proto__":{"x":1}}'),
  deep(100),
  Array.from({ length: 15_500 }, () => 0.1),
  `$${"x".repeat(254)}`,
  `$${"x".repeat(255)}`,
  `@${"😀".repeat(200)}:a.org`,
  "@a b*>:a.org",
  "!\r\n:a.org",
  "$a\0",
];

/** Any change at one of the places. */
export function mutationAt(paths: readonly Path[]): fc.Arbitrary<Mutation> {
  return fc.record({
    path: fc.constantFrom(...paths),
    value: fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...ODD) }, { weight: 1, arbitrary: fc.jsonValue() }),
  });
}

/** Returns a changed copy. */
export function mutated(value: unknown, { path, value: other }: Mutation): unknown {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== "object" || value === null) return other;
  const inner =
    rest.length === 0 ? other : mutated((value as Record<string, unknown>)[key], { path: rest, value: other });
  if (Array.isArray(value)) {
    return inner === MISSING ? value.toSpliced(Number(key), 1) : value.with(Number(key), inner);
  }
  const { [key]: _, ...others } = value as Record<string, unknown>;
  return inner === MISSING ? others : { ...others, [key]: inner };
}

/** Whether one of two places is in the other, or they are the same. */
export function overlap(a: Path, b: Path): boolean {
  return a.slice(0, b.length).every((key, i) => key === b[i]);
}
