/**
 * Programs of packages that were unpacked into a folder with all that they depend on, down to the C library
 * (`src/bus/broker/debian-archive.ts`). They run with the dynamic linker and the libraries of that folder: nothing is mounted, and no
 * root is needed.
 */
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";

export interface Program {
  readonly command: string;
  /** Arguments before the program's own. */
  readonly args: readonly string[];
}

/** `libraries` names folders of private libraries, below those for libraries. */
export async function unpackedProgram(
  folder: string,
  path: string,
  { libraries = [] }: { readonly libraries?: readonly string[] } = {},
): Promise<Program> {
  // Releases up to Debian 12 have the C library in /lib, later ones all in /usr/lib.
  const roots = ["usr/lib", "lib"].map((name) => join(folder, name));
  const multiarch = await Promise.all(
    roots.map(async (root) => {
      const names = await readdir(root).catch(() => []);
      return names.filter((name) => name.includes("-linux-gnu")).map((name) => join(root, name));
    }),
  );
  const shared = [...multiarch.flat(), ...roots];
  const linker = await findLinker(shared);
  if (linker === undefined) throw new Error(`${folder} has no dynamic linker`);
  const searched = [...shared, ...shared.flatMap((root) => libraries.map((name) => join(root, name)))];
  const program = await realpath(join(folder, path));
  return { command: linker, args: ["--library-path", searched.join(":"), "--argv0", program, program] };
}

/** A link of a package may lead out of the folder, to what the machine does not have. */
async function findLinker(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name);
      const isFile = async () => (await stat(path).catch(() => undefined))?.isFile() === true;
      if (/^ld-linux.*\.so\.\d+$/.test(name) && (await isFile())) return path;
    }
  }
  return undefined;
}
