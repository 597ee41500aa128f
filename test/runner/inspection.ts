/**
 * Checks a test file before it runs, by plain text search, comments and strings included. So it may refuse too much,
 * but never too little.
 */
const SUITE_CALL = /\bsuite\s*(?:<[^()]*>)?\(/g;
const SUITE_CONSTANT = /\bconst\s+(\w+)\s*=\s*suite\s*(?:<[^()]*>)?\(/g;
const DEFAULT_SUITE_IMPORT = /\bimport\s*\{[^}]*\btest\b[^}]*\}\s*from\s*["']uvu["']/;
const HIDING = /\.(?:only|skip)\s*\(/;
const HOOK = /\.(?:before|after)(?:\.each)?\s*\(/;

export interface Inspection {
  /** How many tests the source defines. A definition in a loop counts once. */
  readonly definitions: number;
  /** Why the file must not run. Empty if it may. */
  readonly refusals: readonly string[];
}

export function inspect(source: string): Inspection {
  const refusals: string[] = [];
  const suites = Array.from(source.matchAll(SUITE_CONSTANT), (match) => match[1]!);
  if (count(source, SUITE_CALL) !== suites.length) {
    refusals.push("every suite must be a constant of its own");
  }
  if (DEFAULT_SUITE_IMPORT.test(source)) suites.push("test");
  for (const name of suites) {
    if (!new RegExp(`(?<![.\\w])${name}\\.run\\(\\)`).test(source)) refusals.push(`the suite ${name} is never run`);
  }
  if (HIDING.test(source)) refusals.push(".only or .skip hides tests");
  if (HOOK.test(source)) refusals.push("hooks are refused: uvu exits with 0 when one throws");
  const definitions = suites.reduce(
    (sum, name) => sum + count(source, new RegExp(`(?<![.\\w])${name}\\s*\\(`, "g")),
    0,
  );
  if (definitions === 0) refusals.push("defines no test");
  return { definitions, refusals };
}

function count(text: string, pattern: RegExp): number {
  return Array.from(text.matchAll(pattern)).length;
}
