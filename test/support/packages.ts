/** Tidemark's two packages as npm publishes them, built into a folder of the test. */
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { buildFrontendPackage } from "../../packages/frontend/build.ts";
import { buildInto, compiledProgram, run, TSC } from "./build.ts";

const ROOT = resolve(import.meta.dirname, "../..");

export interface Packages {
  /** Tarballs. */
  readonly tidemark: string;
  readonly frontend: string;
}

/** Returns a folder whose programs can import `tidemark-frontend`, with the dependencies of this checkout. */
export async function frontendFolder(folder: string): Promise<string> {
  const compiled = await compiledProgram(join(folder, "compiled"));
  const modules = join(folder, "node_modules");
  await linkDependencies(await buildFrontendPackage({ compiled, out: join(modules, "tidemark-frontend") }), modules);
  return folder;
}

/** Does what `npm run build` and `npm pack` do. Takes some seconds. */
export async function packPackages(folder: string): Promise<Packages> {
  const program = join(folder, "program");
  const compiled = join(program, "dist");
  const { files } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { readonly files: string[] };
  await mkdir(program, { recursive: true });
  await Promise.all([
    buildInto(compiled),
    ...["package.json", ...files.filter((name) => !name.startsWith("dist"))].map((name) =>
      cp(join(ROOT, name), join(program, name), { recursive: true }),
    ),
  ]);
  const frontend = await buildFrontendPackage({ compiled, out: join(compiled, "frontend-package") });
  const [tidemark, light] = await Promise.all([pack(program, folder), pack(frontend, folder)]);
  return { tidemark, frontend: light };
}

async function pack(source: string, folder: string): Promise<string> {
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const { stdout } = await run("npm", args, { cwd: source });
  const [{ filename }] = JSON.parse(stdout) as [{ readonly filename: string }];
  return join(folder, filename);
}

/** Installs a tarball into an empty folder. Only what npm's cache lacks is downloaded. */
export async function installed(tarball: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", tarball], {
    cwd: folder,
  });
  return folder;
}

/** The same for a package with many dependencies: it gets those of this checkout. */
export async function unpacked(tarball: string, folder: string): Promise<string> {
  const modules = join(folder, "node_modules");
  await mkdir(join(modules, "tidemark"), { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  await run("tar", ["-xzf", tarball, "-C", join(modules, "tidemark"), "--strip-components=1"]);
  await linkDependencies(join(modules, "tidemark"), modules);
  return folder;
}

async function linkDependencies(installed: string, modules: string): Promise<void> {
  const manifest = await readFile(join(installed, "package.json"), "utf8");
  const { dependencies } = JSON.parse(manifest) as { readonly dependencies: Readonly<Record<string, string>> };
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), join(modules, name));
  }
}

/**
 * Type-checks a TypeScript file in a folder, with the strictest settings that users have. The error has the compiler's
 * output.
 */
export async function typeCheck(folder: string, source: string): Promise<void> {
  const compilerOptions = {
    target: "es2022",
    // Types of Node or of browsers, for `AbortSignal` and `URL`.
    lib: ["es2022", "esnext.disposable", "dom"],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    skipDefaultLibCheck: true,
    types: [],
    noEmit: true,
  };
  await writeFile(join(folder, "app.ts"), source);
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["app.ts"] }));
  try {
    await run(process.execPath, [TSC, "-p", folder]);
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout, { cause: error });
  }
}
