/**
 * Makes the package `tidemark-frontend` from the compiled program: the three libraries, the files that they reach, and nothing
 * else. The dependencies in its package.json are the packages that those files import, at the root's versions.
 *
 *     node --import tsx packages/frontend/build.ts
 *
 * `tidemark` itself needs what a broker, a worker and a gateway need; a front-end that only reads should not install that.
 */
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import root from "../../package.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "../..");

/** By what follows the package's name in an import; without extension, from the top of the compiled program. */
const LIBRARIES = {
  ".": "src/frontend/index",
  "./read-state": "src/frontend/read-state",
  "./federation": "src/federation-sender/index",
};

/** `import … from "x"`, `export … from "x"`, `import "x"`, and `import("x")` in types; not in the lines of a comment. */
const IMPORT = /(?<!^ *(?:\*|\/\/).*)(\bfrom\s*|\bimport\s*\(?\s*)"([^"]+)"/gm;

interface FrontendPackageOptions {
  /** Where `tsc -p tsconfig.build.json` has written. */
  readonly compiled?: string;
  readonly out?: string;
}

/** Returns the folder of the package. Throws when a file imports a package that the root does not depend on. */
export async function buildFrontendPackage({
  compiled = join(ROOT, "dist"),
  out = join(ROOT, "dist/frontend-package"),
}: FrontendPackageOptions = {}): Promise<string> {
  await rm(out, { recursive: true, force: true });
  const packages = new Set<string>();
  // Types reach further than code does, so each kind has a walk of its own.
  for (const extension of [".js", ".d.ts"]) {
    const entries = Object.values(LIBRARIES).map((library) => join(compiled, `${library}${extension}`));
    for (const name of await copyReached(entries, { compiled, out, extension })) packages.add(name);
  }
  await Promise.all([
    copyFile(join(ROOT, "LICENSE"), join(out, "LICENSE")),
    copyFile(join(import.meta.dirname, "README.md"), join(out, "README.md")),
    writeFile(join(out, "package.json"), `${JSON.stringify(manifest(packages), undefined, 2)}\n`),
  ]);
  return out;
}

interface Copying {
  readonly compiled: string;
  readonly out: string;
  readonly extension: string;
}

/** Copies files and all that they import; returns the names of the packages among that. */
async function copyReached(entries: readonly string[], { compiled, out, extension }: Copying): Promise<Set<string>> {
  const packages = new Set<string>();
  const reached = new Set(entries);
  for (const path of reached) {
    const text = (await readFile(path, "utf8")).replace(IMPORT, (whole, before: string, name: string) => {
      if (!name.startsWith(".")) {
        if (!name.startsWith("node:")) packages.add(packageOf(name));
        return whole;
      }
      const stem = name.replace(/\.(?:js|ts)$/, "");
      reached.add(join(dirname(path), `${stem}${extension}`));
      // Declarations keep the sources' `.ts`, which only newer versions of TypeScript follow.
      return `${before}"${stem}.js"`;
    });
    const target = join(out, relative(compiled, path));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
  }
  return packages;
}

/** `@scope/name/file` → `@scope/name`. */
function packageOf(name: string): string {
  return name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
}

function manifest(packages: ReadonlySet<string>): unknown {
  const { version, license, repository, bugs, homepage, engines } = root;
  return {
    name: "tidemark-frontend",
    version,
    description: "Rooms, read receipts and unread counts from Tidemark: the library of a sync front-end (MSC4033)",
    keywords: ["matrix", "msc4033", "read-receipts", "sync", "nats"],
    license,
    repository: { ...repository, directory: "packages/frontend" },
    bugs,
    homepage,
    type: "module",
    sideEffects: false,
    engines,
    exports: {
      ...Object.fromEntries(
        Object.entries(LIBRARIES).map(([name, library]) => [
          name,
          { types: `./${library}.d.ts`, default: `./${library}.js` },
        ]),
      ),
      "./package.json": "./package.json",
    },
    dependencies: Object.fromEntries([...packages].sort().map((name) => [name, versionOf(name)])),
  };
}

function versionOf(name: string): string {
  const versions: Readonly<Record<string, string>> = root.dependencies;
  const version = versions[name];
  if (version === undefined) throw new Error(`${name} is not among the dependencies of package.json`);
  return version;
}

if (import.meta.filename === process.argv[1]) await buildFrontendPackage();
