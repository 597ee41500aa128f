/** Folders that nobody but this user can look into: they have private receipts. */
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";

const PRIVATE = 0o700;

/** Makes a folder private if it is new. Those in it that are named are made private also if they are there already. */
export async function makePrivate(folder: string, within: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: PRIVATE });
  for (const name of within) {
    try {
      await chmod(join(folder, name), PRIVATE);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}
