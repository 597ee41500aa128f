/**
 * The process that test files run in: `child.ts <mark> <file>...`, one file after the other.
 *
 * A file ends when this process has nothing left to do, as if the file had the process to itself. So a file that
 * crashes after its last test, or waits for a promise that never resolves, does so before the next one starts. Between
 * two files the line `<mark> <exit code>` is printed. The last file ends with the process.
 */
import { pathToFileURL } from "node:url";

declare global {
  var UVU_DEFER: 1;
  /** Of each file: its name, and the runs of its suites. */
  var UVU_QUEUE: [[name: null, ...runs: unknown[]]];
}

// Must be set before uvu is loaded. It makes suites wait for `exec`.
globalThis.UVU_DEFER = 1;
const { exec } = await import("uvu");

const [mark, ...files] = process.argv.slice(2);
let isOver = false;

async function run(file: string): Promise<void> {
  isOver = false;
  globalThis.UVU_QUEUE = [[null]];
  await import(pathToFileURL(file).href);
  await exec();
  isOver = true;
}

function runNext(): void {
  // An error in the file ends this process.
  void run(files.shift()!);
}

process.on("beforeExit", (exitCode) => {
  if (!isOver || files.length === 0) return;
  process.stdout.write(`\n${mark} ${exitCode}\n`);
  process.exitCode = 0;
  runNext();
});

runNext();
