/**
 * Downloads a `nats-server` when there is none, without installing anything on the machine.
 *
 * On Debian and Ubuntu, the package of an older release is too old (Debian 12 has 2.9). So the package of a newer suite is
 * downloaded from the mirror that the machine itself is configured for, and its executable is put into the user's cache. Apt
 * runs with folders of its own, so this
 *
 * - needs no root, and doesn't touch the machine's apt configuration, package lists or installed packages;
 * - starts no service, because no package is installed;
 * - trusts what the machine trusts: apt checks signatures with the distribution's keyring, and uses the machine's proxy
 *   settings.
 *
 * The executable gets its final name by a rename, after it has run once. Processes that do this at the same time each do the
 * whole work, and the last one wins with the same bytes.
 *
 * On other systems, Homebrew installs it. When nothing works, the error says what a person can do.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type BrokerExecutable, brokerCacheDir, findBroker, isRecommended, probeBroker } from "./find.ts";

const APT_LIMIT_MS = 120_000;
const UNPACK_LIMIT_MS = 30_000;
const BREW_LIMIT_MS = 600_000;
const PRESENCE_LIMIT_MS = 10_000;
const INSTALL_ATTEMPTS_MAX = 2;
const INSTALL_RETRY_DELAY_MS = 2_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

/**
 * By distribution: the suites that have nats-server 2.10 or newer, the best one first, their component, and the keyring for
 * their signatures. Debian's stable one has 2.10.27, whose replicas may differ after a server was killed (docs/operations.md#brokers).
 */
const DISTRIBUTIONS: Record<string, Distribution> = {
  debian: { suites: ["forky", "trixie"], component: "main", keyring: "/usr/share/keyrings/debian-archive-keyring.gpg" },
  ubuntu: { suites: ["noble"], component: "universe", keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg" },
};

/** The distribution's own archive, as opposed to another one that serves the same suites. */
const ARCHIVE_URI = /\/(debian|ubuntu)(-ports)?(\/\d{8}T\d{6}Z)?\/?$/;

const WHAT_TO_DO =
  "install nats-server 2.10 or newer, or name one with TIDEMARK_NATS_SERVER, or use a running one with --nats <url>";

const run = promisify(execFile);

interface Distribution {
  readonly suites: readonly string[];
  readonly component: string;
  readonly keyring: string;
}

/** One `deb` entry of apt's configuration. */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly keyring: string | undefined;
}

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
  if ((await isPresent("apt-get")) && (await isPresent("dpkg-deb"))) return await installFromArchive(env, log);
  if (await isPresent("brew")) return await installWithHomebrew(env, log);
  throw new Error("this machine has neither apt nor Homebrew");
}

async function installFromArchive(env: NodeJS.ProcessEnv, log: (line: string) => void): Promise<BrokerExecutable> {
  const { distribution, codename } = await readRelease();
  const mirror = pickMirror(await readSources(), codename, distribution);
  if (mirror === undefined) throw new Error("apt's configuration names no archive of this distribution");
  // Fails before the first download when the cache can't be written.
  await mkdir(brokerCacheDir(env), { recursive: true });

  const reasons: string[] = [];
  for (const suite of new Set([...distribution.suites, codename])) {
    for (let attempt = 1; attempt <= INSTALL_ATTEMPTS_MAX; attempt++) {
      if (attempt > 1) await delay(INSTALL_RETRY_DELAY_MS);
      log(`downloading nats-server of ${suite} from ${mirror.uris.join(", ")}`);
      try {
        return await installFromSuite(suite, mirror, distribution, env);
      } catch (error) {
        const reason = aptReason(error);
        log(`nats-server of ${suite} could not be downloaded: ${reason}`);
        if (!reasons.includes(reason)) reasons.push(reason);
      }
    }
  }
  throw new Error(reasons.join("; "));
}

async function installFromSuite(
  suite: string,
  mirror: AptSource,
  distribution: Distribution,
  env: NodeJS.ProcessEnv,
): Promise<BrokerExecutable> {
  const work = await mkdtemp(join(tmpdir(), "tidemark-nats-server-"));
  try {
    // When root runs apt, it downloads as the user _apt, who must be able to reach these folders.
    await chmod(work, 0o755);
    for (const folder of ["lists/partial", "cache/archives/partial", "package", "unpacked"]) {
      await mkdir(join(work, folder), { recursive: true });
    }
    const keyring = mirror.keyring ?? distribution.keyring;
    const lines = mirror.uris.map((uri) => `deb [signed-by=${keyring}] ${uri} ${suite} ${distribution.component}\n`);
    await writeFile(join(work, "sources.list"), lines.join(""));
    await writeFile(join(work, "status"), "");

    const apt = aptOptions(work);
    await command("apt-get", [...apt, "update"], { cwd: work, timeout: APT_LIMIT_MS });
    await command("apt-get", [...apt, "download", "nats-server"], {
      cwd: join(work, "package"),
      timeout: APT_LIMIT_MS,
    });
    const file = (await readdir(join(work, "package"))).find((name) => name.endsWith(".deb"));
    if (file === undefined) throw new Error("apt downloaded no package");
    const unpacked = join(work, "unpacked");
    await command("dpkg-deb", ["-x", join(work, "package", file), unpacked], { timeout: UNPACK_LIMIT_MS });
    return await moveIntoCache(join(unpacked, "usr/sbin/nats-server"), brokerCacheDir(env));
  } finally {
    await rm(work, { recursive: true, force: true });
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

/** Makes apt write to folders of ours only, and ignore the machine's sources, pins and installed packages. */
function aptOptions(work: string): string[] {
  const settings = [
    `Dir::Etc::sourcelist=${work}/sources.list`,
    "Dir::Etc::sourceparts=/dev/null",
    "Dir::Etc::preferences=/dev/null",
    "Dir::Etc::preferencesparts=/dev/null",
    `Dir::State::status=${work}/status`,
    `Dir::State::lists=${work}/lists`,
    `Dir::Cache=${work}/cache`,
    "Acquire::Languages=none",
    "Acquire::Retries=2",
    "Acquire::http::Timeout=20",
    "Acquire::https::Timeout=20",
    "APT::Update::Error-Mode=any",
  ];
  return ["-q", ...settings.flatMap((setting) => ["-o", setting])];
}

async function readRelease(): Promise<{ distribution: Distribution; codename: string }> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const fields = new Map([...text.matchAll(/^(\w+)="?([^"\n]*)"?$/gm)].map((match) => [match[1], match[2] ?? ""]));
  const ids = [fields.get("ID"), ...(fields.get("ID_LIKE") ?? "").split(" ")];
  const id = ids.find((name) => name !== undefined && Object.hasOwn(DISTRIBUTIONS, name));
  const codename = fields.get("UBUNTU_CODENAME") ?? fields.get("VERSION_CODENAME");
  if (id === undefined || codename === undefined) throw new Error("this is neither Debian nor Ubuntu");
  return { distribution: DISTRIBUTIONS[id]!, codename };
}

async function readSources(): Promise<AptSource[]> {
  const folder = "/etc/apt/sources.list.d";
  const names = (await readdir(folder).catch(() => [])).sort();
  const paths = ["/etc/apt/sources.list", ...names.map((name) => join(folder, name))];
  const sources: AptSource[] = [];
  for (const path of paths) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (path.endsWith(".list")) sources.push(...parseSourcesList(text));
    if (path.endsWith(".sources")) sources.push(...parseSourcesStanzas(text));
  }
  return sources;
}

/** The one-line format, sources.list(5). */
export function parseSourcesList(text: string): AptSource[] {
  const entries = text.matchAll(/^[ \t]*deb[ \t]+(?:\[([^\]\n]*)\][ \t]*)?(\S+)[ \t]+(\S+)([^#\n]*)/gm);
  return Array.from(entries, ([, options = "", uri = "", suite = "", components = ""]) => ({
    uris: [uri],
    suites: [suite],
    components: words(components),
    keyring: /(?:^|\s)signed-by=(\/\S+)/.exec(options)?.[1],
  }));
}

/** The deb822 format, sources.list(5). An embedded key is ignored: the distribution's keyring is used instead. */
export function parseSourcesStanzas(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/)) {
    const unfolded = stanza.replace(/\n[ \t]+/g, " ");
    const field = (name: string) => new RegExp(`^${name}:(.*)$`, "im").exec(unfolded)?.[1]?.trim() ?? "";
    if (!words(field("Types")).includes("deb") || field("Enabled") === "no") continue;
    sources.push({
      uris: words(field("URIs")),
      suites: words(field("Suites")),
      components: words(field("Components")),
      keyring: words(field("Signed-By")).find((word) => word.startsWith("/")),
    });
  }
  return sources;
}

/** The source that serves this release, preferably the distribution's own archive. */
export function pickMirror(
  sources: readonly AptSource[],
  codename: string,
  { component }: Pick<Distribution, "component">,
): AptSource | undefined {
  const isArchive = (source: AptSource) => source.uris.some((uri) => ARCHIVE_URI.test(uri));
  const serves = (source: AptSource) => source.suites.includes(codename) && source.components.includes(component);
  return (
    sources.find((source) => isArchive(source) && serves(source)) ?? sources.find(serves) ?? sources.find(isArchive)
  );
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

async function isPresent(name: string): Promise<boolean> {
  return await command(name, ["--version"], { timeout: PRESENCE_LIMIT_MS }).then(
    () => true,
    () => false,
  );
}

async function command(
  name: string,
  args: string[],
  options: { timeout: number; cwd?: string; env?: NodeJS.ProcessEnv },
): Promise<void> {
  await run(name, args, {
    killSignal: "SIGKILL",
    maxBuffer: OUTPUT_BYTES_MAX,
    ...options,
    env: { ...(options.env ?? process.env), LC_ALL: "C" },
  });
}

/** The reason in apt's `E:` lines. Node's own message is the whole command line. */
function aptReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("killed" in error && error.killed) return "the time limit was reached";
  const stderr = "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
  return /^E: (.*)$/m.exec(stderr)?.[1] ?? error.message;
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
