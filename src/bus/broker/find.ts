import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";

const VERSION_LIMIT_MS = 5_000;

/** Since this version, everything is supported. */
const VERSION_RECOMMENDED = "2.10.0";
/** Since this version, a single development broker is supported. It lacks `sync_interval`; replicated, its compare-and-append has a race. */
const VERSION_MIN = "2.9.0";

/** Folders where packages put it. The PATH of a user often lacks the sbin folders. */
const USUAL_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/sbin"];

const run = promisify(execFile);

export interface BrokerExecutable {
  readonly path: string;
  /** Without the `v`: `2.10.27`. */
  readonly version: string;
}

/**
 * The `nats-server` to use: the one that `TIDEMARK_NATS_SERVER` names. Without that, the first one of a recommended version in
 * the PATH, the usual folders or Tidemark's own cache; then the first usable one there. Returns undefined when there is none.
 *
 * Throws when `TIDEMARK_NATS_SERVER` names something unusable. Nothing else is tried then.
 */
export async function findBroker(env: NodeJS.ProcessEnv = process.env): Promise<BrokerExecutable | undefined> {
  if (env.TIDEMARK_NATS_SERVER) return await namedBroker(env.TIDEMARK_NATS_SERVER);

  let usable: BrokerExecutable | undefined;
  for (const path of await candidates(env)) {
    const found = await probeBroker(path);
    if (found === undefined || !versionAtLeast(found.version, VERSION_MIN)) continue;
    if (isRecommended(found)) return found;
    usable ??= found;
  }
  return usable;
}

/** Returns the path and version; undefined when the file isn't an executable `nats-server`. */
export async function probeBroker(path: string): Promise<BrokerExecutable | undefined> {
  if (!(await isExecutableFile(path))) return undefined;
  try {
    const { stdout } = await run(path, ["--version"], { timeout: VERSION_LIMIT_MS, killSignal: "SIGKILL" });
    const version = /^nats-server: v(\d+\.\d+\.\d+)/m.exec(stdout)?.[1];
    return version === undefined ? undefined : { path, version };
  } catch {
    return undefined;
  }
}

export function isRecommended(broker: BrokerExecutable): boolean {
  return versionAtLeast(broker.version, VERSION_RECOMMENDED);
}

/** Where what was downloaded for Tidemark is kept. */
export function cacheDir(env: NodeJS.ProcessEnv): string {
  const xdg = env.XDG_CACHE_HOME;
  const cache = xdg !== undefined && isAbsolute(xdg) ? xdg : join(env.HOME || homedir(), ".cache");
  return join(cache, "tidemark");
}

/** A folder with one folder per installed version, which has the executable. */
export function brokerCacheDir(env: NodeJS.ProcessEnv): string {
  return join(cacheDir(env), "nats-server");
}

async function namedBroker(name: string): Promise<BrokerExecutable> {
  const found = await probeBroker(resolve(name));
  if (found === undefined) {
    throw new Error(`TIDEMARK_NATS_SERVER is "${name}", which is not an executable nats-server`);
  }
  if (!versionAtLeast(found.version, VERSION_MIN)) {
    throw new Error(`TIDEMARK_NATS_SERVER is "${name}", version ${found.version}: at least ${VERSION_MIN} is needed`);
  }
  return found;
}

async function candidates(env: NodeJS.ProcessEnv): Promise<Set<string>> {
  const onPath = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const folders = [...onPath, ...USUAL_FOLDERS, ...(await cachedFolders(env))];
  return new Set(folders.map((folder) => resolve(folder, "nats-server")));
}

/** Newest version first. */
async function cachedFolders(env: NodeJS.ProcessEnv): Promise<string[]> {
  const cache = brokerCacheDir(env);
  const names = await readdir(cache).catch(() => []);
  const versions = names.filter((name) => /^\d+\.\d+\.\d+$/.test(name));
  return versions.sort((a, b) => compareVersions(b, a)).map((version) => join(cache, version));
}

async function isExecutableFile(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

function versionAtLeast(version: string, minimum: string): boolean {
  return compareVersions(version, minimum) >= 0;
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
