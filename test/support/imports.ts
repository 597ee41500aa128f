/** What source files import, read as text. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** `import … from "x"`, `export … from "x"`, `import "x"`, `import("x")`; types too. */
const IMPORT = /\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g;
const TYPE_IMPORT = /\b(?:import|export)\s+type\b[^;"]*"[^"]+"/g;

export interface Imports {
  /** Files of the project, by path. */
  readonly files: readonly string[];
  /** Packages, and modules of Node. */
  readonly packages: readonly string[];
}

/** What a file itself imports. Its path is absolute, and so are those of the result. */
export function importsIn(text: string, path: string): Imports {
  const names = Array.from(text.matchAll(IMPORT), (match) => (match[1] ?? match[2])!);
  const isFile = (name: string) => /^[./]/.test(name);
  return {
    files: names.filter(isFile).map((name) => resolve(dirname(path), name)),
    packages: names.filter((name) => !isFile(name)),
  };
}

/** Answers what files load as they run, directly or through others, and reads each file once. Types are not loaded. */
export class ImportGraph {
  readonly #read = new Map<string, Promise<readonly string[]>>();

  /** The files that a file loads, itself left out. */
  async reachedFrom(path: string): Promise<ReadonlySet<string>> {
    const files = new Set<string>();
    for (const next = [path]; next.length > 0; ) {
      for (const file of await this.#filesOf(next.pop()!)) {
        if (files.has(file)) continue;
        files.add(file);
        next.push(file);
      }
    }
    return files;
  }

  #filesOf(path: string): Promise<readonly string[]> {
    let files = this.#read.get(path);
    if (files === undefined) {
      // A file that isn't there is one that a text only mentions, or one that the build makes.
      const reading = readFile(path, "utf8").catch(() => "");
      files = reading.then((text) => importsIn(text.replaceAll(TYPE_IMPORT, ""), path).files);
      this.#read.set(path, files);
    }
    return files;
  }
}
