/**
 * Prometheus's `promtool`, for the tests of `deploy/prometheus`: the one that `TIDEMARK_PROMTOOL` names, otherwise the system's
 * own. If there is none, the package `prometheus` of Debian or Ubuntu is unpacked, and its promtool is put into the user's
 * cache; nothing is installed on the machine.
 *
 *     node --import tsx test/support/promtool.ts      downloads it beforehand (20 MB, 50 MB unpacked)
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { aptReason, findArchive, hasApt, unpackPackage } from "../../src/bus/broker/debian-archive.ts";
import { cacheDir } from "../../src/bus/broker/find.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const APT_LIMIT_MS = 120_000;
const PROBE_LIMIT_MS = 10_000;
const WHAT_TO_DO = "install prometheus, or name a promtool with TIDEMARK_PROMTOOL";

const run = promisify(execFile);

/** Returns the path of a promtool, downloaded if necessary. Its error says what a person can do. */
export async function ensurePromtool(log: (line: string) => void = () => {}): Promise<string> {
  const named = process.env.TIDEMARK_PROMTOOL;
  if (named) {
    if (await runs(named)) return named;
    throw new Error(`TIDEMARK_PROMTOOL is "${named}", which is no promtool`);
  }
  const cached = join(cacheDir(process.env), "promtool", "promtool");
  for (const path of ["promtool", cached]) if (await runs(path)) return path;
  try {
    await download(cached, log);
  } catch (cause) {
    throw new Error(`no promtool found, and it could not be downloaded (${aptReason(cause)}): ${WHAT_TO_DO}`, {
      cause,
    });
  }
  return cached;
}

async function download(path: string, log: (line: string) => void): Promise<void> {
  if (!(await hasApt())) throw new Error("this machine has no apt");
  const archive = await findArchive({ debian: "main", ubuntu: "universe" });
  log(`downloading prometheus of ${archive.codename} from ${archive.uris.join(", ")}`);
  using unpacked = temporaryDirectory();
  await unpackPackage(archive, { suite: archive.codename, name: "prometheus", limitMs: APT_LIMIT_MS }, unpacked.path);
  const folder = join(path, "..");
  await mkdir(folder, { recursive: true });
  // Processes that do this at the same time never see half of it.
  const staged = join(folder, `.staged-${randomUUID()}`);
  try {
    await copyFile(join(unpacked.path, "usr/bin/promtool"), staged);
    if (!(await runs(staged))) throw new Error("the promtool of the package does not run on this machine");
    await rename(staged, path);
  } finally {
    await rm(staged, { force: true });
  }
}

async function runs(path: string): Promise<boolean> {
  return await run(path, ["--version"], { timeout: PROBE_LIMIT_MS }).then(
    () => true,
    () => false,
  );
}

if (import.meta.filename === process.argv[1]) {
  const print = (line: string) => void process.stderr.write(`${line}\n`);
  try {
    print(`promtool ${await ensurePromtool(print)}`);
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
