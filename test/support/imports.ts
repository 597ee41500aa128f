/** The imports of source files, found in their text. */
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

/** Returns the direct imports of a file. `path` and the paths of the result are absolute. */
export function importsIn(text: string, path: string): Imports {
  const names = Array.from(text.matchAll(IMPORT), (match) => (match[1] ?? match[2])!);
  const isFile = (name: string) => /^[./]/.test(name);
  return {
    files: names.filter(isFile).map((name) => resolve(dirname(path), name)),
    packages: names.filter((name) => !isFile(name)),
  };
}

/**
 * Finds the files that a file loads at run time, directly or through others. Types are not loaded. Each file is read
 * once.
 */
export class ImportGraph {
  readonly #read = new Map<string, Promise<readonly string[]>>();

  /** Returns the files that a file loads, without the file itself. */
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
      // A file that does not exist is only mentioned in a text, or made by the build.
      const reading = readFile(path, "utf8").catch(() => "");
      files = reading.then((text) => importsIn(text.replaceAll(TYPE_IMPORT, ""), path).files);
      this.#read.set(path, files);
    }
    return files;
  }
}
