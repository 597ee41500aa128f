/**
 * The test command: `node --import tsx test/run.ts [--long | --homeserver] [--dir <dir>] [pattern]...`
 *
 * Runs every `*.test.ts` below the folder (this one by default) whose path contains one of the patterns. The last line
 * on standard output is `N passed, N failed`; the exit status is 1 when anything failed. With `--long` only the files
 * that try cases, many more of them, from a seed of its own each time (`support/tier.ts`). With `--homeserver` those that
 * need a live homeserver (`support/synapse-program.ts`), which never run otherwise.
 *
 * The files of a folder share a process, so that what they import is loaded once. What a file imports says what has to be
 * installed for it.
 *
 * uvu exits with 0 when a hook throws, when a suite never calls `.run()`, and when a stray `.only` hides the rest. So a
 * file is read before it runs, and refused when it
 *
 * - has a suite that is not a constant of its own, or that is never run;
 * - uses `.only`, `.skip` or a hook (a test builds its own harness, and disposes of it);
 * - defines no test.
 *
 * After it ran, it fails unless it exited with 0, printed uvu's closing lines, passed all, skipped none, and ran at
 * least as many tests as it has definitions.
 */
import { randomInt } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { ensureBroker } from "../src/bus/broker/install.ts";
import { type Ended, EXIT_OK, execute } from "./runner/execution.ts";
import { inspect } from "./runner/inspection.ts";
import { buildProgram } from "./support/build.ts";
import { ensureChromium } from "./support/chromium.ts";
import { ImportGraph } from "./support/imports.ts";
import { ensurePeers } from "./support/peers.ts";
import { ensurePromtool } from "./support/promtool.ts";
import { canMount } from "./support/small-disk.ts";
import { ensureSynapse } from "./support/synapse-program.ts";
import { ensureSystemdAnalyze } from "./support/systemd.ts";
import { temporaryDirectory } from "./support/temporary-directory.ts";
import { FAST_SEED } from "./support/tier.ts";

const FILE_LIMIT_MS = 180_000;
const LONG_FILE_LIMIT_MS = 3_600_000;
/** A file that takes longer is reported: it belongs into the long tier. */
const FAST_MS = 60_000;
const PROCESSES_AT_ONCE = 2;
const SEED_MAX = 2 ** 31;

const SUPPORT = join(import.meta.dirname, "support");
const CLOSING_LINES = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/m;

interface TestFile {
  readonly path: string;
  /** Its path from the folder of the run. */
  readonly name: string;
  readonly definitions: number;
  readonly refusals: readonly string[];
  /** The files that it imports, directly or through others. */
  readonly loads: ReadonlySet<string>;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      dir: { type: "string" },
      long: { type: "boolean", default: false },
      homeserver: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const root = resolve(values.dir ?? import.meta.dirname);
  const { long, homeserver } = values;
  const isSlow = long || homeserver;
  if (long) process.env.TIDEMARK_TIER = "long";
  process.env.SEED ||= String(long ? randomInt(SEED_MAX) : FAST_SEED);
  print(`seed ${process.env.SEED}`);

  using directory = temporaryDirectory();
  let passed = 0;
  let failed = 0;
  const report = (file: TestFile, ended?: Ended) => {
    const result = judge(file, ended);
    passed += result.passed;
    failed += result.failed;
    const seconds = `${((ended?.durationMs ?? 0) / 1_000).toFixed(1)} s`;
    if (result.problems.length === 0) {
      const isTooSlow = !isSlow && ended!.durationMs > FAST_MS;
      print(`ok    ${file.name}  ${result.passed} passed, ${seconds}${isTooSlow ? ": too slow for this tier" : ""}`);
      return;
    }
    print(`FAIL  ${file.name}  ${result.passed} passed, ${result.failed} failed, ${seconds}`);
    for (const problem of result.problems) print(`      ${problem}`);
    if (ended !== undefined) print(ended.stderr + ended.stdout);
  };

  try {
    const graph = new ImportGraph();
    const names = await findFiles(root, positionals);
    const all = await Promise.all(names.map((name) => readTestFile(join(root, name), name, graph)));
    const files = all.filter(
      ({ loads }) =>
        loads.has(join(SUPPORT, "synapse-program.ts")) === homeserver && (loads.has(join(SUPPORT, "tier.ts")) || !long),
    );
    if (files.length === 0) throw new Error(`no test file in ${root} matches ${positionals.join(" ") || "*.test.ts"}`);

    // Before the clock of a file that needs it runs. The environment names it, so that no file searches once more.
    process.env.TIDEMARK_NATS_SERVER = (await ensureBroker({ log: printError })).path;
    const isNeeded = (support: string) => files.some(({ loads }) => loads.has(join(SUPPORT, support)));
    if (homeserver) print(`Synapse ${(await ensureSynapse(printError)).version}`);
    if (isNeeded("chromium.ts")) process.env.TIDEMARK_CHROMIUM = await ensureChromium();
    if (isNeeded("promtool.ts")) process.env.TIDEMARK_PROMTOOL = await ensurePromtool(printError);
    if (isNeeded("small-disk.ts") && !(await canMount()))
      print("nothing can be mounted here (root, or sudo without a password): full disks are NOT tried");
    if (isNeeded("systemd.ts")) await ensureSystemdAnalyze(printError);
    if (files.some(({ name }) => name.startsWith("peers/"))) await ensurePeers();
    if (isNeeded("build.ts")) {
      await buildProgram(directory.path);
      process.env.TIDEMARK_TEST_BUILD = directory.path;
    }

    for (const file of files) if (file.refusals.length > 0) report(file);
    const accepted = files.filter(({ refusals }) => refusals.length === 0);
    const queue = byFolder(accepted).values();
    const work = async () => {
      for (const group of queue) {
        await execute(group, { limitMs: isSlow ? LONG_FILE_LIMIT_MS : FILE_LIMIT_MS, ended: report });
      }
    };
    await Promise.all(Array.from({ length: PROCESSES_AT_ONCE }, work));
  } catch (error) {
    printError(error instanceof Error ? error.message : String(error));
    failed += 1;
  }
  print(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

async function findFiles(root: string, patterns: readonly string[]): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.includes("node_modules"))
    .filter((path) => patterns.length === 0 || patterns.some((pattern) => path.includes(pattern)))
    .sort();
}

async function readTestFile(path: string, name: string, graph: ImportGraph): Promise<TestFile> {
  return {
    path,
    name,
    ...inspect(await readFile(path, "utf8")),
    loads: await graph.reachedFrom(path),
  };
}

/** The files below each folder of the run, and those that stand in it. */
function byFolder(files: readonly TestFile[]): TestFile[][] {
  const folders = new Map<string, TestFile[]>();
  for (const file of files) {
    const [folder] = dirname(file.name).split(sep);
    const others = folders.get(folder!);
    if (others === undefined) folders.set(folder!, [file]);
    else others.push(file);
  }
  return [...folders.values()];
}

interface Result {
  readonly passed: number;
  readonly failed: number;
  /** Why the file failed; empty when it passed. */
  readonly problems: readonly string[];
}

/** What became of a file. It did not run when it was refused. */
function judge({ definitions, refusals }: TestFile, ended?: Ended): Result {
  if (ended === undefined) return { passed: 0, failed: 1, problems: refusals };
  const problems = ended.exit === EXIT_OK ? [] : [ended.exit];
  const [total, passed, skipped] = closingNumbers(ended.stdout);
  if (total === undefined) problems.push("ended before uvu printed its closing lines");
  if (passed < (total ?? 0)) problems.push(`${passed} of ${total} tests passed`);
  if (skipped > 0) problems.push(`${skipped} tests were skipped`);
  if (total !== undefined && total < definitions) problems.push(`${total} tests ran, ${definitions} are defined`);
  const failed = problems.length === 0 ? 0 : Math.max(1, (total ?? 0) - passed);
  return { passed, failed, problems };
}

/** Total, passed, skipped, of the last closing lines; total is undefined when there are none. */
function closingNumbers(stdout: string): [total: number | undefined, passed: number, skipped: number] {
  const text = stripVTControlCharacters(stdout);
  const last = CLOSING_LINES.exec(text.slice(Math.max(0, text.lastIndexOf("\n  Total:"))));
  return last === null ? [undefined, 0, 0] : [Number(last[1]), Number(last[2]), Number(last[3])];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}

await main();
