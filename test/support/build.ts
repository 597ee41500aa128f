/**
 * The program as it ships: compiled, with the inspector's page. The test command builds it once, before the test files
 * run, so that processes in tests don't compile the sources each time. A file that runs by itself builds what it needs.
 */
import { execFile } from "node:child_process";
import { copyFile, cp, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const ROOT = resolve(import.meta.dirname, "../..");
const PAGE = join(ROOT, "src/inspector/page");
export const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
export const run = promisify(execFile);

/** The folder of the program that the test command has built: what `buildProgram` makes. */
const built = process.env.TIDEMARK_TEST_BUILD;

/** The compiled command line, if the test command has built it. */
export const builtCli = built === undefined ? undefined : join(built, "dist/src/cli.js");

/** Resolves to a folder with the compiled program, which must not be changed. */
export async function compiledProgram(folder: string): Promise<string> {
  if (built !== undefined) return join(built, "dist");
  await compile(folder);
  return folder;
}

/** Writes the compiled program and the page into a folder. */
export async function buildInto(folder: string): Promise<void> {
  if (built !== undefined) await cp(join(built, "dist"), folder, { recursive: true });
  else await Promise.all([compile(folder), buildPage(join(folder, "inspector"))]);
}

/** Resolves to a folder with the page. */
export async function builtPage(folder: string): Promise<string> {
  if (built !== undefined) return join(built, "dist/inspector");
  await buildPage(folder);
  return folder;
}

/** Builds the program into an empty folder, with the dependencies of this checkout. */
export async function buildProgram(folder: string): Promise<void> {
  await copyFile(join(ROOT, "package.json"), join(folder, "package.json"));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await buildInto(join(folder, "dist"));
}

async function compile(outDir: string): Promise<void> {
  await run(process.execPath, [TSC, "-p", join(ROOT, "tsconfig.build.json"), "--outDir", outDir]);
}

async function buildPage(outDir: string): Promise<void> {
  // Loaded here, because loading takes a while and most tests need no page.
  const { build } = await import("vite");
  await build({
    root: PAGE,
    configFile: join(PAGE, "vite.config.ts"),
    logLevel: "error",
    build: { outDir, emptyOutDir: true },
  });
}
