/**
 * A Synapse for tests, from Debian's packages, without installing anything on the machine.
 *
 * Debian's stable release has no Synapse. So `matrix-synapse` of unstable is downloaded with all that it depends on, down to
 * the C library, and unpacked into the user's cache (`src/bus/broker/debian-archive.ts`). Its Python runs from there
 * (`unpacked-program.ts`): no root is needed, and no package's script runs.
 *
 * `TIDEMARK_SYNAPSE_PYTHON` names another Python that has Synapse, such as that of a virtual environment.
 *
 *     node --import tsx test/support/synapse-program.ts      downloads it beforehand (65 MB, 300 MB unpacked)
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, readdir, realpath, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { aptReason, findArchive, hasApt, unpackPackage } from "../../src/bus/broker/debian-archive.ts";
import { cacheDir } from "../../src/bus/broker/find.ts";
import { type Program, unpackedProgram } from "./unpacked-program.ts";

const APT_LIMIT_MS = 600_000;
/** The first run compiles all that it imports. */
const PROBE_LIMIT_MS = 120_000;
const PRINT_VERSION = "import synapse; print(synapse.__version__)";
const WHAT_TO_DO = "name a Python that has it with TIDEMARK_SYNAPSE_PYTHON";

const run = promisify(execFile);

/** A Python that can import `synapse`. */
export interface SynapseProgram extends Program {
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Returns a Synapse, downloaded if necessary. Its error says what a person can do. */
export async function ensureSynapse(log: (line: string) => void = () => {}): Promise<SynapseProgram> {
  const named = process.env.TIDEMARK_SYNAPSE_PYTHON;
  if (named) {
    return await probe({ command: named, args: [], env: process.env }).catch((cause) => {
      throw new Error(`TIDEMARK_SYNAPSE_PYTHON is "${named}", which is no Python that has Synapse`, { cause });
    });
  }

  const cache = join(cacheDir(process.env), "synapse");
  const installed = (await readdir(cache).catch(() => [])).filter((name) => /^\d/.test(name));
  const newest = installed.sort((a, b) => b.localeCompare(a, "en", { numeric: true }))[0];
  if (newest !== undefined) return await probe(await pythonIn(join(cache, newest)));

  try {
    return await install(cache, log);
  } catch (cause) {
    throw new Error(`no Synapse found, and it could not be downloaded (${aptReason(cause)}): ${WHAT_TO_DO}`, { cause });
  }
}

async function install(cache: string, log: (line: string) => void): Promise<SynapseProgram> {
  if (!(await hasApt())) throw new Error("this machine has no apt");
  const archive = await findArchive({ debian: "main" });
  await mkdir(cache, { recursive: true });
  const staged = join(cache, `.staged-${randomUUID()}`);
  await mkdir(staged);
  try {
    log(`downloading matrix-synapse of Debian's unstable suite from ${archive.uris.join(", ")}`);
    const wanted = { suite: "sid", name: "matrix-synapse", withDependencies: true, limitMs: APT_LIMIT_MS };
    await unpackPackage(archive, wanted, staged);
    const { version } = await probe(await pythonIn(staged));
    const folder = join(cache, version);
    // Another process may have been faster: its folder is the same.
    await rename(staged, folder).catch(async (error) => {
      if (!(await readdir(cache)).includes(version)) throw error;
    });
    return await probe(await pythonIn(folder));
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

async function pythonIn(folder: string): Promise<Omit<SynapseProgram, "version">> {
  const usr = await realpath(join(folder, "usr"));
  const program = await unpackedProgram(folder, "usr/bin/python3");
  return { ...program, env: { ...process.env, PYTHONHOME: usr, PYTHONNOUSERSITE: "1", LC_ALL: "C.UTF-8" } };
}

async function probe({ command, args, env }: Omit<SynapseProgram, "version">): Promise<SynapseProgram> {
  const { stdout } = await run(command, [...args, "-c", PRINT_VERSION], { env, timeout: PROBE_LIMIT_MS });
  return { version: stdout.trim(), command, args, env };
}

if (import.meta.filename === process.argv[1]) {
  const print = (line: string) => void process.stderr.write(`${line}\n`);
  try {
    print(`Synapse ${(await ensureSynapse(print)).version}`);
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
