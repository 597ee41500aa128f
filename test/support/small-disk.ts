/**
 * A disk that a test can fill: a file system in memory, mounted on a folder. Mounting needs root, or `sudo` without a password;
 * where there is neither, the test command says that full disks are not tried.
 */
import { execFile } from "node:child_process";
import { rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { temporaryDirectory } from "./temporary-directory.ts";

const COMMAND_LIMIT_MS = 10_000;
/** Written at a time. */
const FILL_BYTES = 4 * 1024 * 1024;
const SUDO = process.getuid?.() === 0 ? [] : ["sudo", "-n"];

const run = promisify(execFile);

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Leaves no byte free. */
  fill(): Promise<void>;
  /** Frees what `fill` took. */
  free(): Promise<void>;
}

async function asRoot(...command: readonly string[]): Promise<void> {
  const [name = "", ...args] = [...SUDO, ...command];
  await run(name, args, { timeout: COMMAND_LIMIT_MS });
}

export async function canMount(): Promise<boolean> {
  return await smallDisk(FILL_BYTES).then(
    async (disk) => {
      await disk[Symbol.asyncDispose]();
      return true;
    },
    () => false,
  );
}

export async function smallDisk(bytes: number): Promise<SmallDisk> {
  const folder = temporaryDirectory();
  const { path } = folder;
  const filler = join(path, "filler");
  try {
    const owner = `uid=${process.getuid?.()},gid=${process.getgid?.()}`;
    await asRoot("mount", "-t", "tmpfs", "-o", `size=${bytes},mode=700,${owner}`, "tmpfs", path);
  } catch (error) {
    folder[Symbol.dispose]();
    throw error;
  }
  return {
    path,
    fill: async () => {
      // What else writes there may be faster, and free some again: so until there is nothing.
      for (;;) {
        const { bavail, bsize } = await statfs(path);
        if (bavail === 0) return;
        const more = Buffer.alloc(Math.min(bavail * bsize, FILL_BYTES));
        await writeFile(filler, more, { flag: "a" }).catch((error: unknown) => {
          if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
        });
      }
    },
    free: () => rm(filler),
    [Symbol.asyncDispose]: async () => {
      // Lazily: a process that was killed may hold it for a moment.
      await asRoot("umount", "-l", path);
      folder[Symbol.dispose]();
    },
  };
}
