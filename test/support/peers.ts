/**
 * Third-party software that tests run against, such as `matrix-js-sdk`. It is a separate package, `test/peers`, with
 * its own lock file, so that the project's `npm ci` stays small. Tests that import a peer are in that folder, where
 * Node and `tsc` find it.
 *
 *     node --import tsx test/support/peers.ts      installs the peers beforehand
 *
 * They are installed into a temporary folder, which is renamed when it is complete. If two processes install at the
 * same time, both do all the work, and the first one wins.
 */
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const FOLDER = join(import.meta.dirname, "../peers");
const INSTALLED = join(FOLDER, "node_modules");
const PACKAGE_FILES = ["package.json", "package-lock.json"];
const INSTALL_LIMIT_MS = 300_000;

const run = promisify(execFile);

/** Returns whether the installed peers are those of the lock file. A copy of it is stored with them. */
async function isInstalled(): Promise<boolean> {
  const [wanted, installed] = await Promise.all(
    [FOLDER, INSTALLED].map((folder) => readFile(join(folder, "package-lock.json"), "utf8").catch(() => undefined)),
  );
  return wanted !== undefined && wanted === installed;
}

/** Installs the peers if needed. */
export async function ensurePeers(): Promise<void> {
  if (await isInstalled()) return;
  process.stderr.write("installing the peers of test/peers with npm\n");
  const staged = await mkdtemp(join(FOLDER, ".install-"));
  try {
    for (const name of PACKAGE_FILES) await copyFile(join(FOLDER, name), join(staged, name));
    await run("npm", ["ci", "--prefix", staged, "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: staged,
      timeout: INSTALL_LIMIT_MS,
    });
    await copyFile(join(staged, "package-lock.json"), join(staged, "node_modules/package-lock.json"));
    // Another process may have been faster, or an older install may be there.
    if (await isInstalled()) return;
    await rm(INSTALLED, { recursive: true, force: true });
    await rename(join(staged, "node_modules"), INSTALLED);
  } catch (cause) {
    if (await isInstalled()) return;
    throw new Error("the peers of test/peers could not be installed", { cause });
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

if (import.meta.filename === process.argv[1]) await ensurePeers();
