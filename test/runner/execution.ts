/** Runs test files one after the other in a shared process, and splits its output by file. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";

const OUTPUT_CHARS_MAX = 1_000_000;
const CHILD = fileURLToPath(import.meta.resolve("./child.ts"));

export interface Ended {
  /** How it ended: an exit code, a signal, a time limit. */
  readonly exit: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

export const EXIT_OK = "exit code 0";

/**
 * Runs files one after the other in one process. If a file ends the process, the remaining files run in a new one.
 * `ended` is called once per file, in order.
 */
export async function execute<File extends { readonly path: string }>(
  files: readonly File[],
  { limitMs, ended }: { readonly limitMs: number; readonly ended: (file: File, how: Ended) => void },
): Promise<void> {
  const paths = files.map(({ path }) => path);
  for (let done = 0; done < files.length; ) {
    await executeInOne(paths.slice(done), limitMs, (how) => ended(files[done++]!, how));
  }
}

function executeInOne(paths: readonly string[], limitMs: number, ended: (how: Ended) => void): Promise<void> {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: "1" };
  delete env.FORCE_COLOR;
  const mark = randomUUID();
  const between = new RegExp(`\\n${mark} (\\d+)\\n`);
  const child = spawn(process.execPath, ["--import", "tsx", CHILD, mark, ...paths], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let isLate = false;
  let startedAt = performance.now();
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
    // The child's own children may still hold these open.
    child.stdout.destroy();
    child.stderr.destroy();
  }, limitMs);
  const end = (exit: string) => {
    ended({ exit, stdout, stderr, durationMs: performance.now() - startedAt });
    stderr = "";
    startedAt = performance.now();
    timer.refresh();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(-OUTPUT_CHARS_MAX);
    for (let match = between.exec(stdout); match !== null; match = between.exec(stdout)) {
      const next = stdout.slice(match.index + match[0].length);
      stdout = stdout.slice(0, match.index);
      end(`exit code ${match[1]}`);
      stdout = next;
    }
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-OUTPUT_CHARS_MAX);
  });
  return new Promise((done, failed) => {
    child.once("error", failed);
    child.once("close", (code, signal) => {
      end(isLate ? `reached its time limit of ${limitMs} ms` : (signal ?? `exit code ${code}`));
      clearTimeout(timer);
      done();
    });
  });
}
