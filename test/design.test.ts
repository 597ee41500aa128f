/**
 * The specification in `docs/design.md`: its rules name the tests that hold them, and whatever refers to it, or to
 * another page of the project, refers to something that is there.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { anchorsIn, codeSpansIn, linksIn, listItemsIn, sectionOf, tableRowsIn } from "./support/markdown.ts";

const ROOT = join(import.meta.dirname, "..");
const DESIGN = "docs/design.md";
const FOLDERS = [
  "src",
  "actors",
  "packages",
  "scripts",
  "test",
  "bench",
  "examples",
  "docs",
  "conformance",
  "deploy",
  ".ci",
];
const TEXT = /\.(?:ts|tsx|js|md|css|html|json|ya?ml|conf|sh)$|^(?:Dockerfile|\.ci\/run)$/;

/** All text of the project, by path. */
const texts = await readTexts();
const pages = new Map([...texts].filter(([path]) => path.endsWith(".md")));
const design = pages.get(DESIGN)!;

async function readTexts(): Promise<ReadonlyMap<string, string>> {
  const paths = (await readdir(ROOT, { withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  for (const folder of FOLDERS) {
    const names = await readdir(join(ROOT, folder), { recursive: true });
    paths.push(...names.filter((name) => !name.includes("node_modules")).map((name) => join(folder, name)));
  }
  const read = paths.filter((path) => TEXT.test(path) && !path.startsWith("test/fixtures/"));
  return new Map(
    await Promise.all(read.map(async (path) => [path, await readFile(join(ROOT, path), "utf8")] as const)),
  );
}

/** A rule, or a failure, and the tests that its item ends with. */
interface Rule {
  readonly name: string;
  readonly tests: readonly string[];
}

function rulesIn(section: string, letter: string): Rule[] {
  return listItemsIn(sectionOf(design, section)).flatMap((item) => {
    const name = new RegExp(String.raw`^\*\*(${letter}\d+)\.`).exec(item)?.[1];
    return name === undefined ? [] : [{ name, tests: codeSpansIn(/Test: .*$/.exec(item)?.[0] ?? "") }];
  });
}

const foldRules = rulesIn("The fold", "F");
const failures = rulesIn("When things fail", "E");

const specification = suite("the specification");

specification("has the sections that comments link to", () => {
  assert.equal(
    Array.from(design.matchAll(/^##+ (.*)$/gm), ([, heading]) => heading),
    [
      "Ideas",
      "Words",
      "How data flows",
      "The bus contract",
      "Subjects",
      "Accounts",
      "Requests",
      "Records",
      "What is published",
      "Sync tokens",
      "Queries",
      "Who sees what",
      "HTTP",
      "The proxy",
      "The command line",
      "The fold",
      "Workers",
      "Processes answer for themselves",
      "What is kept",
      "The archive",
      "Object stores",
      "Segments",
      "Manifests",
      "When things fail",
      "Layout",
      "Dependencies",
    ],
  );
});

specification("numbers its rules and failures without a gap", () => {
  assert.equal(
    foldRules.map(({ name }) => name),
    Array.from({ length: 14 }, (_, i) => `F${i + 1}`),
  );
  assert.equal(
    failures.map(({ name }) => name),
    failures.map((_, i) => `E${i + 1}`),
  );
  assert.ok(failures.length > 10);
});

specification("names a test for each rule and failure, and that test names the rule", () => {
  const wrong: string[] = [];
  for (const { name, tests } of [...foldRules, ...failures]) {
    if (tests.length === 0) wrong.push(`${name} names no test`);
    for (const path of tests) {
      const text = texts.get(path);
      if (text === undefined || !path.endsWith(".test.ts")) wrong.push(`${name}: there is no test ${path}`);
      else if (!new RegExp(`\\b${name}\\b`).test(text)) wrong.push(`${path} does not name ${name}`);
    }
  }
  assert.equal(wrong, []);
});

specification("gives every package that ships a reason", async () => {
  const { dependencies } = JSON.parse(texts.get("package.json")!) as { dependencies: Record<string, string> };
  const rows = tableRowsIn(sectionOf(design, "Dependencies")).slice(1);
  assert.equal(rows.flatMap((cells) => codeSpansIn(cells[1]!)).sort(), Object.keys(dependencies).sort());
});

const references = suite("references");

references("to the specification name a section of it", () => {
  const anchors = anchorsIn(design);
  const found = [...texts].flatMap(([path, text]) =>
    Array.from(text.matchAll(/docs\/design\.md(?:#([\w-]*))?/g), ([, anchor]) => ({ path, anchor })),
  );
  assert.ok(found.length > 50);
  assert.equal(
    found.filter(({ anchor }) => anchor !== undefined && !anchors.has(anchor)),
    [],
  );
});

references("to sections by number are gone", () => {
  const numbered = /\bDESIGN[\s.§]*\d/;
  assert.equal(
    [...texts].filter(([, text]) => numbered.test(text)).map(([path]) => path),
    [],
  );
});

references("between pages lead to a file, and to a heading of it", () => {
  const links = [...pages].flatMap(([page, text]) => linksIn(text).map((link) => ({ page, link })));
  assert.ok(links.length > 50);
  const broken = links.filter(({ page, link }) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchorsIn(pages.get(target) ?? "").has(anchor);
  });
  assert.equal(broken, []);
});

const paths = suite("paths");

paths("that pages name in backticks are there", () => {
  const isPath = /^(?:src|actors|packages|scripts|test|bench|examples|docs|conformance|deploy|\.ci)\/[\w./-]*$/;
  const missing = [...pages].flatMap(([page, text]) =>
    codeSpansIn(text)
      .filter((name) => isPath.test(name) && !existsSync(join(ROOT, name)))
      .map((name) => `${page}: ${name}`),
  );
  assert.equal(missing, []);
});

const operations = suite("docs/operations.md");
const handbook = pages.get("docs/operations.md")!;
const code = [...texts].filter(([path]) => /^(?:src|actors)\//.test(path)).map(([, text]) => text);

operations("quotes messages that the code has", () => {
  const rows = tableRowsIn(sectionOf(handbook, "Messages")).slice(1);
  const causes = listItemsIn(sectionOf(handbook, "When a partition has failed"));
  const quoted = [
    ...rows.map(([message]) => codeSpansIn(message!)[0]!),
    ...causes.flatMap((cause) => codeSpansIn(/^\*\*.*?\*\*/.exec(cause)?.[0] ?? "")),
  ];
  assert.ok(quoted.length > 10);
  // What differs from one message to the next is a placeholder here, and an expression in the code.
  const parts = quoted.flatMap((message) => message.split(/ ?(?:<\w+>|…|\d+) ?/)).filter((part) => part.length > 2);
  assert.equal(
    parts.filter((part) => !code.some((text) => text.includes(part))),
    [],
  );
});

operations("has a row for each metric, and for no other", () => {
  const rows = tableRowsIn(sectionOf(handbook, "Metrics")).slice(1);
  const described = rows.flatMap(([name]) => codeSpansIn(name!)).map((name) => name.replace(/\{.*/, ""));
  const sources = ["src/metrics.ts", "src/proxy-metrics.ts", "src/latencies.ts"].map((path) => texts.get(path)!);
  const metrics = new Set(Array.from(sources.join("\n").matchAll(/"(tidemark_\w+)"/g), ([, name]) => name));
  assert.ok(metrics.size > 5);
  assert.equal(described.filter((name) => name.startsWith("tidemark_")).sort(), [...metrics].sort());
});

const decisions = suite("decisions");

decisions("have one format, and are all listed", () => {
  const records = [...pages].filter(([path]) => /^docs\/adr\/\d{4}-/.test(path));
  assert.ok(records.length >= 12);
  for (const [path, text] of records) {
    const sections = Array.from(text.matchAll(/^## (.*)$/gm), ([, heading]) => heading);
    assert.equal(sections, ["Status", "Context", "Decision", "Consequences"], path);
    assert.is(/^# (\d{4}): \S/.exec(text)?.[1], basename(path).slice(0, 4), path);
  }
  const list = pages.get("docs/adr/README.md")!;
  assert.equal(linksIn(list).sort(), records.map(([path]) => basename(path)).sort());
});

specification.run();
references.run();
paths.run();
operations.run();
decisions.run();
