/** Which program this is: its version, and a digest of its code, which tells two builds of one version apart. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import * as z from "zod";

const DIGEST_CHARS = 8;

export interface Build {
  /** Of the package. */
  readonly version: string;
  /** The first characters of a SHA-256 of all code, in hex. */
  readonly build: string;
}

let found: Promise<Build> | undefined;

export function programBuild(): Promise<Build> {
  found ??= read();
  return found;
}

async function read(): Promise<Build> {
  const here = import.meta.dirname;
  const digest = createHash("sha256");
  for (const folder of [here, join(here, "../actors")]) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries.filter(({ name }) => /(?<!\.d)\.[jt]s$/.test(name)).map((e) => join(e.parentPath, e.name));
    for (const path of paths.sort()) digest.update(relative(here, path)).update(await readFile(path));
  }
  return { version: await versionAbove(here), build: digest.digest("hex").slice(0, DIGEST_CHARS) };
}

/** The manifest is one folder above the code, or two where that was compiled. */
async function versionAbove(folder: string): Promise<string> {
  const text = await readFile(join(folder, "package.json"), "utf8").catch(() => undefined);
  if (text === undefined && dirname(folder) !== folder) return versionAbove(dirname(folder));
  return z.object({ version: z.string() }).parse(JSON.parse(text ?? "{}")).version;
}
