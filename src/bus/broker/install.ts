/**
 * Downloads a `nats-server` when there is none, without installing anything on the machine.
 *
 * On Debian and Ubuntu, the package of an older release is too old (Debian 12 has 2.9). So the package of a newer suite is
 * unpacked (`debian-archive.ts`), and its executable is put into the user's cache.
 *
 * The executable gets its final name by a rename, after it has run once. Processes that do this at the same time each do the
 * whole work, and the last one wins with the same bytes.
 *
 * On other systems, Homebrew installs it. When nothing works, the error says what a person can do.
 */
import { randomUUID } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Archive, aptReason, command, findArchive, hasApt, isPresent, unpackPackage } from "./debian-archive.ts";
import { type BrokerExecutable, brokerCacheDir, findBroker, isRecommended, probeBroker } from "./find.ts";

const APT_LIMIT_MS = 120_000;
const BREW_LIMIT_MS = 600_000;
const INSTALL_ATTEMPTS_MAX = 2;
const INSTALL_RETRY_DELAY_MS = 2_000;

/**
 * By distribution: the suites that have nats-server 2.10 or newer, the best one first. Debian's stable one has 2.10.27, whose
 * replicas may differ after a server was killed (docs/operations.md#brokers).
 */
const SUITES = { debian: ["forky", "trixie"], ubuntu: ["noble"] } as const;
const COMPONENTS = { debian: "main", ubuntu: "universe" } as const;

const WHAT_TO_DO =
  "install nats-server 2.10 or newer, or name one with TIDEMARK_NATS_SERVER, or use a running one with --nats <url>";

export interface EnsureOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly log?: (line: string) => void;
}

/**
 * The `nats-server` to use, downloaded if necessary. A usable one that is older than recommended is used, with a line to `log`,
 * when `TIDEMARK_NATS_SERVER` names it or no newer one can be downloaded.
 */
export async function ensureBroker(options: EnsureOptions = {}): Promise<BrokerExecutable> {
  const { env = process.env, log = () => {} } = options;
  const found = await findBroker(env);
  if (found !== undefined && isRecommended(found)) return found;

  if (found === undefined || !env.TIDEMARK_NATS_SERVER) {
    try {
      const installed = await installBroker(env, log);
      if (found === undefined || isRecommended(installed)) return installed;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (found === undefined) {
        throw new Error(`no nats-server found, and it could not be installed (${reason}): ${WHAT_TO_DO}`, { cause });
      }
      log(`no newer nats-server could be installed: ${reason}`);
    }
  }
  log(`${found.path} is ${found.version}, for development only: use nats-server 2.15 or newer in production`);
  return found;
}

async function installBroker(env: NodeJS.ProcessEnv, log: (line: string) => void): Promise<BrokerExecutable> {
  if (await hasApt()) return await installFromArchive(env, log);
  if (await isPresent("brew")) return await installWithHomebrew(env, log);
  throw new Error("this machine has neither apt nor Homebrew");
}

async function installFromArchive(env: NodeJS.ProcessEnv, log: (line: string) => void): Promise<BrokerExecutable> {
  const archive = await findArchive(COMPONENTS);
  // Fails before the first download when the cache can't be written.
  await mkdir(brokerCacheDir(env), { recursive: true });

  const reasons: string[] = [];
  for (const suite of new Set([...SUITES[archive.distribution], archive.codename])) {
    for (let attempt = 1; attempt <= INSTALL_ATTEMPTS_MAX; attempt++) {
      if (attempt > 1) await delay(INSTALL_RETRY_DELAY_MS);
      log(`downloading nats-server of ${suite} from ${archive.uris.join(", ")}`);
      try {
        return await installFromSuite(suite, archive, env);
      } catch (error) {
        const reason = aptReason(error);
        log(`nats-server of ${suite} could not be downloaded: ${reason}`);
        if (!reasons.includes(reason)) reasons.push(reason);
      }
    }
  }
  throw new Error(reasons.join("; "));
}

async function installFromSuite(suite: string, archive: Archive, env: NodeJS.ProcessEnv): Promise<BrokerExecutable> {
  const unpacked = await mkdtemp(join(tmpdir(), "tidemark-nats-server-"));
  try {
    await unpackPackage(archive, { suite, name: "nats-server", limitMs: APT_LIMIT_MS }, unpacked);
    return await moveIntoCache(join(unpacked, "usr/sbin/nats-server"), brokerCacheDir(env));
  } finally {
    await rm(unpacked, { recursive: true, force: true });
  }
}

async function moveIntoCache(executable: string, cache: string): Promise<BrokerExecutable> {
  const staged = join(cache, `.staged-${randomUUID()}`);
  try {
    await copyFile(executable, staged);
    await chmod(staged, 0o755);
    const probed = await probeBroker(staged);
    if (probed === undefined) throw new Error("the nats-server of the package does not run on this machine");
    const path = join(cache, probed.version, "nats-server");
    await mkdir(join(cache, probed.version), { recursive: true });
    await rename(staged, path);
    return { path, version: probed.version };
  } finally {
    await rm(staged, { force: true });
  }
}

async function installWithHomebrew(env: NodeJS.ProcessEnv, log: (line: string) => void): Promise<BrokerExecutable> {
  log("installing nats-server with Homebrew");
  await command("brew", ["install", "nats-server"], {
    timeout: BREW_LIMIT_MS,
    env: { ...process.env, HOMEBREW_NO_AUTO_UPDATE: "1" },
  });
  const found = await findBroker(env);
  if (found === undefined) throw new Error("Homebrew installed nats-server, but it is in none of the usual folders");
  return found;
}

async function main(): Promise<void> {
  const print = (line: string) => void process.stderr.write(`${line}\n`);
  try {
    const { path, version } = await ensureBroker({ log: print });
    print(`nats-server ${version} ${path}`);
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

if (process.argv[1] === import.meta.filename) await main();
