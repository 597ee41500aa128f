/**
 * Packages of the Debian or Ubuntu archive that the machine is configured for, of any suite, unpacked into a folder. Apt runs
 * with folders of its own, so this
 *
 * - needs no root, and doesn't touch the machine's apt configuration, package lists or installed packages;
 * - starts no service and runs no package's scripts, because nothing is installed;
 * - trusts what the machine trusts: apt checks signatures with the distribution's keyring, and uses the machine's proxy
 *   settings.
 */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const UNPACK_LIMIT_MS = 30_000;
const PRESENCE_LIMIT_MS = 10_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

/** The keyrings with which the distributions sign. */
const KEYRINGS = {
  debian: "/usr/share/keyrings/debian-archive-keyring.gpg",
  ubuntu: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
} as const;

/** The distribution's own archive, as opposed to another one that serves the same suites. */
const ARCHIVE_URI = /\/(debian|ubuntu)(-ports)?(\/\d{8}T\d{6}Z)?\/?$/;

const run = promisify(execFile);

type Distribution = keyof typeof KEYRINGS;

/** One `deb` entry of apt's configuration. */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly keyring: string | undefined;
}

export interface Archive {
  readonly distribution: Distribution;
  /** The machine's own suite. */
  readonly codename: string;
  readonly component: string;
  readonly uris: readonly string[];
  readonly keyring: string;
}

interface Wanted {
  readonly suite: string;
  readonly name: string;
  /** With all that the package depends on, down to the C library. Default: the package alone. */
  readonly withDependencies?: boolean;
  /** For each run of apt. */
  readonly limitMs: number;
}

/** Whether this machine has apt's and dpkg's commands. */
export async function hasApt(): Promise<boolean> {
  return (await isPresent("apt-get")) && (await isPresent("dpkg-deb"));
}

/**
 * The archive that this machine uses. `components` has the component that is wanted, for each distribution that has it. Throws
 * on other distributions, or if apt's configuration names no archive.
 */
export async function findArchive(components: Partial<Record<Distribution, string>>): Promise<Archive> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const fields = new Map([...text.matchAll(/^(\w+)="?([^"\n]*)"?$/gm)].map((match) => [match[1], match[2] ?? ""]));
  const ids = [fields.get("ID"), ...(fields.get("ID_LIKE") ?? "").split(" ")];
  const distribution = (["debian", "ubuntu"] as const).find((name) => ids.includes(name) && name in components);
  const codename = fields.get("UBUNTU_CODENAME") ?? fields.get("VERSION_CODENAME");
  const component = distribution && components[distribution];
  if (distribution === undefined || component === undefined || codename === undefined) {
    throw new Error(`this is not ${Object.keys(components).join(" or ")}`);
  }
  const mirror = pickMirror(await readSources(), codename, { component });
  if (mirror === undefined) throw new Error("apt's configuration names no archive of this distribution");
  return { distribution, codename, component, uris: mirror.uris, keyring: mirror.keyring ?? KEYRINGS[distribution] };
}

/** Downloads a package, and unpacks it into an empty folder. */
export async function unpackPackage(
  { uris, keyring, component }: Archive,
  { suite, name, withDependencies = false, limitMs }: Wanted,
  into: string,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), `tidemark-${name}-`));
  try {
    // When root runs apt, it downloads as the user _apt, who must be able to reach these folders.
    await chmod(work, 0o755);
    const archives = join(work, "cache/archives");
    for (const folder of [join(work, "lists/partial"), join(archives, "partial")]) {
      await mkdir(folder, { recursive: true });
    }
    const lines = uris.map((uri) => `deb [signed-by=${keyring}] ${uri} ${suite} ${component}\n`);
    await writeFile(join(work, "sources.list"), lines.join(""));
    await writeFile(join(work, "status"), "");

    const apt = aptOptions(work);
    await command("apt-get", [...apt, "update"], { cwd: work, timeout: limitMs });
    const download = withDependencies
      ? ["install", "--yes", "--download-only", "--no-install-recommends"]
      : ["download"];
    await command("apt-get", [...apt, ...download, name], { cwd: archives, timeout: limitMs });
    const files = (await readdir(archives)).filter((file) => file.endsWith(".deb"));
    if (files.length === 0) throw new Error("apt downloaded no package");
    for (const file of files)
      await command("dpkg-deb", ["-x", join(archives, file), into], { timeout: UNPACK_LIMIT_MS });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
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
    // Whatever the machine's configuration or `APT_CONFIG` says: nothing unsigned.
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "APT::Get::AllowUnauthenticated=false",
  ];
  return ["-q", ...settings.flatMap((setting) => ["-o", setting])];
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
  { component }: { readonly component: string },
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

export async function isPresent(name: string): Promise<boolean> {
  return await command(name, ["--version"], { timeout: PRESENCE_LIMIT_MS }).then(
    () => true,
    () => false,
  );
}

export async function command(
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
export function aptReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("killed" in error && error.killed) return "the time limit was reached";
  const stderr = "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
  return /^E: (.*)$/m.exec(stderr)?.[1] ?? error.message;
}
