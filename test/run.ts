/**
 * The test command: `node --import tsx test/run.ts [--dir <dir>] [pattern]...`
 *
 * Runs every `*.test.ts` below the folder (this one by default) whose path contains one of the patterns, each in a process
 * of its own. The last line on standard output is `N passed, N failed`; the exit status is 1 when anything failed.
 *
 * uvu exits with 0 when a hook throws, when a suite never calls `.run()`, and when a stray `.only` hides the rest. So a
 * file is read before it runs, and refused when it
 *
 * - has a suite that is not a constant of its own, or that is never run;
 * - uses `.only`, `.skip` or a hook (a test builds its own harness, and disposes of it);
 * - defines no test.
 *
 * After it ran, it fails unless it exited with 0, printed uvu's closing lines, passed all, skipped none, and ran at least
 * as many tests as it has definitions. (A definition in a loop is one definition and many tests.) The reading is plain text
 * search, comments and strings included: it may refuse too much, never too little.
 */
import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { ensureBroker } from "../src/bus/broker/install.ts";
import { ensureChromium } from "./support/chromium.ts";
import { ensurePeers } from "./support/peers.ts";

const FILE_LIMIT_MS = 180_000;
const FILES_AT_ONCE = 2;
const OUTPUT_CHARS_MAX = 1_000_000;

const SUITE_CALL = /\bsuite\s*(?:<[^()]*>)?\(/g;
const SUITE_CONSTANT = /\bconst\s+(\w+)\s*=\s*suite\s*(?:<[^()]*>)?\(/g;
const DEFAULT_SUITE_IMPORT = /\bimport\s*\{[^}]*\btest\b[^}]*\}\s*from\s*["']uvu["']/;
const HIDING = /\.(?:only|skip)\s*\(/;
const HOOK = /\.(?:before|after)(?:\.each)?\s*\(/;
const PAGE_TESTS = /-page\.test\.ts$/;
const PEER_TESTS = /^peers\//;
const CLOSING_LINES = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/m;

interface FileResult {
  readonly passed: number;
  readonly failed: number;
  /** Why the file failed; empty when it passed. */
  readonly problems: readonly string[];
  readonly output: string;
}

interface Ended {
  readonly exit: string;
  readonly stdout: string;
  readonly output: string;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { dir: { type: "string" } }, allowPositionals: true });
  const root = resolve(values.dir ?? import.meta.dirname);
  let passed = 0;
  let failed = 0;
  try {
    // Named for the test files, so that all of them use the same one, without a search.
    process.env.TIDEMARK_NATS_SERVER = (await ensureBroker({ log: printError })).path;
    const files = await findFiles(root, positionals);
    if (files.length === 0) throw new Error(`no test file in ${root} matches ${positionals.join(" ") || "*.test.ts"}`);
    // Installed before the clock of a file that needs it runs.
    if (files.some((file) => PAGE_TESTS.test(file))) process.env.TIDEMARK_CHROMIUM = await ensureChromium();
    if (files.some((file) => PEER_TESTS.test(file))) await ensurePeers();

    const queue = files.values();
    const work = async () => {
      for (const file of queue) {
        const startedAt = performance.now();
        const result = await runFile(join(root, file));
        report(file, result, performance.now() - startedAt);
        passed += result.passed;
        failed += result.failed;
      }
    };
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
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

async function runFile(path: string): Promise<FileResult> {
  const { definitions, refusals } = inspect(await readFile(path, "utf8"));
  if (refusals.length > 0) return { passed: 0, failed: 1, problems: refusals, output: "" };

  const { exit, stdout, output } = await execute(path);
  const problems = exit === "exit code 0" ? [] : [exit];
  const [total, passed, skipped] = closingNumbers(stdout);
  if (total === undefined) problems.push("ended before uvu printed its closing lines");
  if (passed < (total ?? 0)) problems.push(`${passed} of ${total} tests passed`);
  if (skipped > 0) problems.push(`${skipped} tests were skipped`);
  if (total !== undefined && total < definitions) problems.push(`${total} tests ran, ${definitions} are defined`);
  const failed = problems.length === 0 ? 0 : Math.max(1, (total ?? 0) - passed);
  return { passed, failed, problems, output };
}

/** What can be said about a test file before it runs. */
function inspect(source: string): { definitions: number; refusals: string[] } {
  const refusals: string[] = [];
  const suites = Array.from(source.matchAll(SUITE_CONSTANT), (match) => match[1]!);
  if (count(source, SUITE_CALL) !== suites.length) {
    refusals.push("every suite must be a constant of its own");
  }
  if (DEFAULT_SUITE_IMPORT.test(source)) suites.push("test");
  for (const name of suites) {
    if (!new RegExp(`(?<![.\\w])${name}\\.run\\(\\)`).test(source)) refusals.push(`the suite ${name} is never run`);
  }
  if (HIDING.test(source)) refusals.push(".only or .skip hides tests");
  if (HOOK.test(source)) refusals.push("hooks are not for us: uvu exits with 0 when one throws");
  const definitions = suites.reduce(
    (sum, name) => sum + count(source, new RegExp(`(?<![.\\w])${name}\\s*\\(`, "g")),
    0,
  );
  if (definitions === 0) refusals.push("defines no test");
  return { definitions, refusals };
}

function execute(path: string): Promise<Ended> {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: "1" };
  delete env.FORCE_COLOR;
  const child = spawn(process.execPath, ["--import", "tsx", path], { env, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let output = "";
  let late = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(-OUTPUT_CHARS_MAX);
    output = (output + text).slice(-OUTPUT_CHARS_MAX);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output = (output + text).slice(-OUTPUT_CHARS_MAX);
  });
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
    // Its own children may still hold these open.
    child.stdout.destroy();
    child.stderr.destroy();
  }, FILE_LIMIT_MS);
  return new Promise((done, failed) => {
    child.once("error", failed);
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      const exit = late ? `reached its time limit of ${FILE_LIMIT_MS} ms` : signal ? signal : `exit code ${code}`;
      done({ exit, stdout, output });
    });
  });
}

/** Total, passed, skipped, of the last closing lines; total is undefined when there are none. */
function closingNumbers(stdout: string): [total: number | undefined, passed: number, skipped: number] {
  const text = stripVTControlCharacters(stdout);
  const last = CLOSING_LINES.exec(text.slice(Math.max(0, text.lastIndexOf("\n  Total:"))));
  return last === null ? [undefined, 0, 0] : [Number(last[1]), Number(last[2]), Number(last[3])];
}

function report(file: string, { passed, problems, output }: FileResult, durationMs: number): void {
  const seconds = `${(durationMs / 1000).toFixed(1)} s`;
  if (problems.length === 0) {
    print(`ok    ${file}  ${passed} passed, ${seconds}`);
    return;
  }
  print(`FAIL  ${file}  ${seconds}`);
  for (const problem of problems) print(`      ${problem}`);
  if (output !== "") print(output);
}

function count(text: string, pattern: RegExp): number {
  return Array.from(text.matchAll(pattern)).length;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}

await main();
