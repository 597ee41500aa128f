/**
 * The process that test files run in: `child.ts <mark> <file>...`, one file after the other.
 *
 * A file is over when nothing is left to do for this process, as if it had the process to itself. So a file that
 * crashes after its last test, or waits for what never comes, does so before the next one begins. Between two files the
 * line `<mark> <exit code>` is printed; the end of the process ends the last one.
 */
import { pathToFileURL } from "node:url";

declare global {
  var UVU_DEFER: 1;
  /** By file: its name, and the runs of its suites. */
  var UVU_QUEUE: [[name: null, ...runs: unknown[]]];
}

// Read when uvu is loaded: suites wait for `exec`.
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
  // What it throws ends this process.
  void run(files.shift()!);
}

process.on("beforeExit", (exitCode) => {
  if (!isOver || files.length === 0) return;
  process.stdout.write(`\n${mark} ${exitCode}\n`);
  process.exitCode = 0;
  runNext();
});

runNext();
