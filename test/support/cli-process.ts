/** Runs the command line in a child process, for tests of its output, signals and exit. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { builtCli } from "./build.ts";
import type { BusHarness } from "./harness.ts";

const CLI = builtCli === undefined ? ["--import", "tsx", resolve(import.meta.dirname, "../../src/cli.ts")] : [builtCli];
const END_LIMIT_MS = 90_000;

interface Urls {
  readonly nats: string;
  readonly http: string;
  /** Absent without `--metrics`. */
  readonly metrics?: string;
}

export interface CliProcess extends AsyncDisposable {
  readonly pid: number | undefined;
  /** The lines so far. */
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** Resolves to the URLs in the ready line. Rejects with the output if the process ends first. */
  readonly ready: Promise<Urls>;
  /** Resolves to the exit code or the signal, once all output has been read. */
  readonly ended: Promise<number | NodeJS.Signals>;
  kill(signal: NodeJS.Signals): void;
}

interface CliOptions {
  readonly limitMs?: number;
  /** The folder of a program that `buildProgram` made. Default: the sources, or the test command's build. */
  readonly program?: string;
}

/** Runs `tidemark <args>`. Options in this process's environment are not inherited. */
export function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  { limitMs = END_LIMIT_MS, program }: CliOptions = {},
): CliProcess {
  const cli = program === undefined ? CLI : [join(program, "dist/src/cli.js")];
  return run(process.execPath, [...cli, ...args], env, limitMs);
}

/** Arguments of `start` on the test's broker, with a data directory beside the broker's. */
export function startArgs(bus: BusHarness, ...more: string[]): string[] {
  return ["start", "--nats", bus.url, "--data", join(bus.dir, "data"), ...more];
}

/** The same on a full disk: no file that it writes can grow beyond the limit. */
export function runCliWithoutSpace(fileKilobytesMax: number, args: readonly string[]): CliProcess {
  const limited = `ulimit -f ${fileKilobytesMax * 2}; exec "$@"`;
  return run("/bin/sh", ["-c", limited, "sh", process.execPath, ...CLI, ...args], {});
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, limitMs = END_LIMIT_MS): CliProcess {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("TIDEMARK_") || name === "TIDEMARK_NATS_SERVER",
  );
  const child = spawn(command, args, {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stdout = linesOf(child, "stdout");
  const stderr = linesOf(child, "stderr");
  const ended = once(child, "close").then(([code, signal]) => code ?? signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  void ended.then(() => clearTimeout(timer));

  const ready = new Promise<Urls>((resolve, reject) => {
    stdout.reader.on("line", (line) => {
      const match = /^tidemark ready nats=(\S+) http=(\S+)(?: metrics=(\S+))?$/.exec(line);
      if (match !== null)
        resolve({ nats: match[1]!, http: match[2]!, ...(match[3] !== undefined && { metrics: match[3] }) });
    });
    void ended.then((how) => reject(new Error(`ended with ${how} before it was ready:\n${stderr.lines.join("\n")}`)));
  });
  ready.catch(() => {}); // A caller that awaits `ready` still gets the rejection.

  return {
    pid: child.pid,
    stdout: stdout.lines,
    stderr: stderr.lines,
    ready,
    ended,
    kill: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function linesOf(child: ChildProcess, stream: "stdout" | "stderr") {
  const lines: string[] = [];
  const reader = createInterface({ input: child[stream]! }).on("line", (line) => lines.push(line));
  return { lines, reader };
}
