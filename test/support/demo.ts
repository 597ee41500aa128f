/** Runs `npm run demo`, and reads its output. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import * as assert from "uvu/assert";

export const ROOT = join(import.meta.dirname, "../..");
export const RECORDING = join(import.meta.dirname, "../fixtures/synapse-session");
const COLUMNS = 80;

export async function tempDir() {
  const path = await mkdtemp(join(tmpdir(), "tidemark-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Runs the demo in a process with its own folder for temporary files. */
export async function runDemo(...options: string[]) {
  await using temp = await tempDir();
  const child = spawn(process.execPath, ["--import", "tsx", "examples/demo/main.ts", ...options], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: temp.path },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  const left = (await readdir(temp.path)).filter((name) => name.startsWith("tidemark-"));
  return { code: code as number | null, stdout, stderr, left };
}

/** Returns the figures of the line that starts with this name. */
function figures(stdout: string, name: string): number[] {
  const line = stdout.split("\n").find((line) => line.startsWith(`  ${name} `));
  assert.ok(line, `${name} is in the output:\n${stdout}`);
  return [...line!.slice(name.length + 2).matchAll(/(?<![\w.])\d[\d,]*/g)].map(([digits]) =>
    Number(digits.replaceAll(",", "")),
  );
}

export function assertEqualMarkers(stdout: string): void {
  assert.equal(figures(stdout, "events in order"), [1520, 1520, 1520]);
  assert.equal(figures(stdout, "receipt markers"), [173, 172, 1, 173], "one of them covered in the snapshots");
  assert.equal(figures(stdout, "fully-read markers"), [27, 27, 27]);
  assert.match(stdout, "+ m.read.private of grace-s11 in main in !QDKLgqAFoOipdErZYs:bench.test\n");
  assert.match(stdout, "✓ the log, folded again, gives the same orders and markers");
  assert.match(stdout, "✓ no delta is missing, and no private receipt reached anybody else");
  assert.not.match(stdout, "✗");
  assert.match(stdout, /^All equal, in [\d.]+ s\.$/m);
}

export function outcomesIn(stdout: string): Record<string, number> {
  const names = ["ordered", "advanced", "released", "stale", "wrong_thread", "held"];
  return Object.fromEntries(names.map((name) => [name, figures(stdout, name)[0]!]));
}

export function assertFits(stdout: string): void {
  for (const line of stdout.split("\n")) assert.ok(line.length <= COLUMNS, `fits into ${COLUMNS} columns: ${line}`);
  assert.not.match(stdout, "\x1b", "no colours without a terminal");
}
