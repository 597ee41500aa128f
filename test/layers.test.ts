/** Which files may import which. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Imports, importsIn } from "./support/imports.ts";
import { floorsIn } from "./support/markdown.ts";

const ROOT = join(import.meta.dirname, "..");

/**
 * The layers that `docs/design.md` lists, lowest first: a layer imports only itself and the layers listed above it. A
 * folder's name ends in a slash.
 */
const LAYERS = floorsIn(await readFile(join(ROOT, "docs/design.md"), "utf8"));

/** All paths are relative to the project's root. */
interface Source extends Imports {
  readonly path: string;
  readonly text: string;
}

async function read(path: string): Promise<Source> {
  const text = await readFile(join(ROOT, path), "utf8");
  const { files, packages } = importsIn(text, join(ROOT, path));
  return { path, text, files: files.map((file) => relative(ROOT, file)), packages };
}

async function readAll(): Promise<readonly Source[]> {
  const paths: string[] = [];
  for (const folder of ["src", "actors"]) {
    for (const entry of await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && /\.tsx?$/.test(entry.name)) paths.push(relative(ROOT, join(entry.parentPath, entry.name)));
    }
  }
  return Promise.all(paths.sort().map(read));
}

function layerOf(path: string): number {
  return LAYERS.findIndex((layer) =>
    layer.some((name) => (name.endsWith("/") ? path.startsWith(name) : path === name)),
  );
}

/** A path along imports from a file back to itself, or undefined. */
function cycleIn(sources: readonly Source[]): string[] | undefined {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const next of byPath.get(path)?.files ?? []) {
      const cycle = visit(next, [...way, path]);
      if (cycle !== undefined) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const { path } of sources) {
    const cycle = visit(path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

const sources = await readAll();
const layers = suite("layers");

layers("are files and folders that exist", () => {
  const names = LAYERS.flat();
  assert.ok(names.length > 20);
  assert.equal(
    names.filter((name) => !sources.some(({ path }) => (name.endsWith("/") ? path.startsWith(name) : path === name))),
    [],
  );
});

layers("include every file", () => {
  assert.ok(sources.length > 30);
  assert.equal(
    sources.map(({ path }) => path).filter((path) => layerOf(path) < 0),
    [],
  );
});

layers("are checked with imports that all resolve to known files", () => {
  const known = new Set(sources.map(({ path }) => path));
  const imports = sources.flatMap(({ files }) => files);
  assert.ok(imports.length > 100);
  assert.equal(
    imports.filter((path) => !known.has(path)),
    [],
  );
});

layers("import only themselves and the layers listed above them", () => {
  const wrong = sources.flatMap(({ path, files }) =>
    files.filter((file) => layerOf(file) > layerOf(path)).map((file) => `${path} imports ${file}`),
  );
  assert.equal(wrong, []);
});

/** The files that would change with another NATS client library. */
const KNOWING_NATS = [
  "src/bus/client/connection.ts",
  "src/bus/client/jetstream.ts",
  "src/bus/client/stream-reader.ts",
  "src/bus/client/stream-scan.ts",
];

layers("import NATS in few files only", () => {
  const knowing = sources.filter(({ packages }) => packages.some((name) => /^(?:nats|@nats-io\/.*)$/.test(name)));
  assert.equal(
    knowing.map(({ path }) => path),
    KNOWING_NATS,
  );
});

layers("use the JetStream API in one folder only", () => {
  const using = sources.filter(({ text }) => /\.jetstream(?:Manager)?\(/.test(text)).map(({ path }) => path);
  assert.ok(using.length > 0);
  assert.equal(
    using.filter((path) => !path.startsWith("src/bus/client/")),
    [],
  );
});

layers("recognize a not-found error in one place only", () => {
  const knowing = sources.filter(({ text }) => /\bisNotFound\b/.test(text)).map(({ path }) => path);
  assert.equal(knowing, ["src/bus/client/connection.ts", "src/bus/client/jetstream.ts"]);
});

layers("do no I/O in actors, matrix and the contract: these import neither Node's modules nor NATS", () => {
  for (const [folder, allowed] of [
    ["actors/", ["xstate"]],
    ["src/matrix/", ["zod"]],
    ["src/bus/contract/", ["zod", "msgpackr"]],
  ] as const satisfies readonly (readonly [string, readonly string[]])[]) {
    const others = sources
      .filter(({ path }) => path.startsWith(folder))
      .flatMap(({ path, packages }) =>
        packages.filter((name) => !allowed.some((known) => known === name)).map((name) => `${path}: ${name}`),
      );
    assert.equal(others, []);
  }
});

layers("have no two files with the same name", () => {
  const seen = new Map<string, string>();
  const twice: string[] = [];
  for (const { path } of sources) {
    const name = basename(path);
    // Files of `src/commands/` are named after their command.
    if (name === "index.ts" || name === "machine.ts" || dirname(path) === "src/commands") continue;
    const other = seen.get(name);
    if (other !== undefined) twice.push(`${other} and ${path}`);
    seen.set(name, path);
  }
  assert.equal(twice, []);
});

layers("have no import cycles", () => {
  assert.is(cycleIn(sources)?.join(" → "), undefined);
});

layers("have a search for import cycles that finds one", () => {
  const file = (path: string, ...files: string[]) => ({ path, text: "", files, packages: [] });
  assert.is(cycleIn([file("a", "b", "c"), file("b", "c"), file("c")]), undefined);
  assert.equal(cycleIn([file("x", "a"), file("a", "b"), file("b", "c"), file("c", "a")]), ["a", "b", "c", "a"]);
});

layers.run();
