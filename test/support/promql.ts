/** What a query of Prometheus names. Reads the queries of `deploy/`, not all of the language. */

const RANGE = /\[[^\]]*\]/g;
const GROUPING = /\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g;
const SELECTOR = /(?<![\w.])([a-zA-Z_:][\w:]*)\b(?!\s*\()\s*(?:\{([^}]*)\})?/g;
const MATCHER = /(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g;
const OPERATORS = new Set(["and", "or", "unless", "bool", "offset"]);

interface Matcher {
  readonly label: string;
  /** Those of a pattern `a|b`, each. */
  readonly values: readonly string[];
}

export interface Query {
  readonly metrics: readonly { readonly name: string; readonly matchers: readonly Matcher[] }[];
  /** By which it groups or joins. */
  readonly groupedBy: readonly string[];
}

export function parseQuery(text: string): Query {
  const groupedBy = Array.from(text.matchAll(GROUPING), ([, labels]) => labels!.split(",")).flat();
  const metrics = Array.from(
    text.replace(GROUPING, "").replace(RANGE, "").matchAll(SELECTOR),
    ([, name, matchers = ""]) => ({ name: name!, matchers: matchersIn(matchers) }),
  ).filter(({ name }) => !OPERATORS.has(name));
  return { metrics, groupedBy: groupedBy.map(trimmed) };
}

function matchersIn(text: string): Matcher[] {
  return Array.from(text.matchAll(MATCHER), ([, label, operator, value]) => ({
    label: label!,
    values: operator!.includes("~") ? value!.split("|") : [value!],
  }));
}

function trimmed(text: string): string {
  return text.trim();
}

/** One line of what Prometheus scrapes. */
export interface Series {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

export function parseSeries(exposition: string): Series[] {
  return exposition
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", labels = ""] = /^([\w:]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
      return { name, labels: new Map(matchersIn(labels).map(({ label, values }) => [label, values[0]!])) };
    });
}
