/**
 * `systemd-analyze`, for the test of `deploy/systemd`: the system's own. If there is none, the package `systemd` of Debian or Ubuntu is
 * unpacked into the user's cache, with all that it depends on; nothing is installed on the machine, and no systemd runs.
 *
 *     node --import tsx test/support/systemd.ts      downloads it beforehand (15 MB, 47 MB unpacked)
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { aptReason, findArchive, hasApt, unpackPackage } from "../../src/bus/broker/debian-archive.ts";
import { cacheDir } from "../../src/bus/broker/find.ts";
import { type Program, unpackedProgram } from "./unpacked-program.ts";

const APT_LIMIT_MS = 120_000;
const PROBE_LIMIT_MS = 10_000;
const WHAT_TO_DO = "install systemd";

const run = promisify(execFile);

export interface SystemdAnalyze extends Program {
  readonly env: NodeJS.ProcessEnv;
}

/** Returns a systemd-analyze, downloaded if necessary. Its error says what a person can do. */
export async function ensureSystemdAnalyze(log: (line: string) => void = () => {}): Promise<SystemdAnalyze> {
  const installed = { command: "systemd-analyze", args: [], env: process.env };
  if ((await faultOf(installed)) === undefined) return installed;
  const cached = join(cacheDir(process.env), "systemd");
  try {
    const unpacked = await analyzeIn(cached).catch(() => undefined);
    if (unpacked !== undefined && (await faultOf(unpacked)) === undefined) return unpacked;
    await download(cached, log);
    return await analyzeIn(cached);
  } catch (cause) {
    throw new Error(`no systemd-analyze found, and it could not be downloaded (${aptReason(cause)}): ${WHAT_TO_DO}`, {
      cause,
    });
  }
}

async function download(folder: string, log: (line: string) => void): Promise<void> {
  if (!(await hasApt())) throw new Error("this machine has no apt");
  const archive = await findArchive({ debian: "main", ubuntu: "main" });
  log(`downloading systemd of ${archive.codename} from ${archive.uris.join(", ")}`);
  // Processes that do this at the same time never see half of it.
  const staged = `${folder}.staged-${randomUUID()}`;
  await mkdir(staged, { recursive: true });
  try {
    const wanted = { suite: archive.codename, name: "systemd", withDependencies: true, limitMs: APT_LIMIT_MS };
    await unpackPackage(archive, wanted, staged);
    const fault = await faultOf(await analyzeIn(staged));
    if (fault !== undefined) throw fault;
    await rm(folder, { recursive: true, force: true });
    // Another process may have been faster: its folder is the same.
    await rename(staged, folder).catch(async (error) => {
      if (!(await readdir(folder).catch((): string[] => [])).includes("usr")) throw error;
    });
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

/** With the units of its own package, as the machine has none. */
async function analyzeIn(folder: string): Promise<SystemdAnalyze> {
  const program = await unpackedProgram(folder, "usr/bin/systemd-analyze", { libraries: ["systemd"] });
  const units = ["usr/lib", "lib"].map((root) => join(folder, root, "systemd/system"));
  return { ...program, env: { ...process.env, SYSTEMD_UNIT_PATH: units.join(":") } };
}

/** Why it doesn't run. */
async function faultOf({ command, args, env }: SystemdAnalyze): Promise<unknown> {
  return await run(command, [...args, "--version"], { timeout: PROBE_LIMIT_MS, env }).then(
    () => undefined,
    (error: unknown) => error,
  );
}

if (import.meta.filename === process.argv[1]) {
  const print = (line: string) => void process.stderr.write(`${line}\n`);
  try {
    print(`systemd-analyze: ${(await ensureSystemdAnalyze(print)).command}`);
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
