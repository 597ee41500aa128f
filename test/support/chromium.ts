/**
 * A Chromium for tests of the page: the one that `TIDEMARK_CHROMIUM` names, otherwise the system's own. If there is
 * none, the package of Debian or Ubuntu is installed, if this needs no prompt (as root, or with sudo without a
 * password).
 *
 *     node --import tsx test/support/chromium.ts      installs it beforehand
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const INSTALL_LIMIT_MS = 150_000;
const WHAT_TO_DO = "install chromium (Debian: apt-get install chromium), or name one with TIDEMARK_CHROMIUM";

const run = promisify(execFile);

async function findChromium(): Promise<string | undefined> {
  const named = process.env.TIDEMARK_CHROMIUM;
  const paths = named
    ? [named]
    : NAMES.flatMap((name) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)));
  for (const path of paths) {
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return path;
  }
  if (named) throw new Error(`TIDEMARK_CHROMIUM is "${named}", which is not executable`);
  return undefined;
}

/** Returns the path of a Chromium, and installs one if needed. Its error says what a person can do. */
export async function ensureChromium(): Promise<string> {
  const found = await findChromium();
  if (found !== undefined) return found;
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const apt = async (...args: string[]) => {
    const [command, ...rest] = [...sudo, "apt-get", "-qq", ...args] as [string, ...string[]];
    await run(command, rest, {
      timeout: INSTALL_LIMIT_MS,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      maxBuffer: 16 * 1_048_576,
    });
  };
  try {
    process.stderr.write("installing chromium with apt-get\n");
    await apt("update");
    await apt("install", "-y", "--no-install-recommends", "chromium");
  } catch (cause) {
    throw new Error(`there is no Chromium, and it could not be installed: ${WHAT_TO_DO}`, { cause });
  }
  const installed = await findChromium();
  if (installed === undefined) throw new Error(`there is no Chromium: ${WHAT_TO_DO}`);
  return installed;
}

if (import.meta.filename === process.argv[1]) process.stdout.write(`${await ensureChromium()}\n`);
