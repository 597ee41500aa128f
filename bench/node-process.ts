/** Node processes that a benchmark starts: Tidemark and the echo responder. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The working directory of the processes. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** The options with which package.json starts Tidemark. */
const NODE_OPTIONS = ["--max-semi-space-size=32"];
const BUILT_CLI = "dist/src/cli.js";

export interface Running extends AsyncDisposable {
  readonly pid: number;
  /** The line that it wrote when it was ready. */
  readonly line: string;
  /** Sends SIGTERM, and waits until the process has ended. */
  stop(): Promise<void>;
}

/** Starts a process, which is ready once it has written a line. Throws if it ends before that. */
export async function startNode(args: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const ready = once(createInterface({ input: child.stdout }), "line").then(([line]) => line as string);
  const line = await Promise.race([ready, exited.then(() => undefined)]);
  if (line === undefined) {
    throw new Error(`${args.join(" ")} ended with ${child.exitCode} before it was ready`);
  }
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  return { pid: child.pid!, line, stop, [Symbol.asyncDispose]: stop };
}

interface TidemarkOptions {
  readonly url: string;
  readonly data: string;
  /** Runs the compiled code of `npm run build` instead of the sources. */
  readonly built: boolean;
  /** The folder for a CPU profile, which Tidemark writes when it ends. */
  readonly profile?: string | undefined;
  /** Additional options of `tidemark start`. */
  readonly args?: readonly string[];
}

/** Starts `tidemark start`; resolves when it is ready. */
export function startTidemark({ url, data, built, profile, args = [] }: TidemarkOptions): Promise<Running> {
  const profiling = profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profile];
  const start = ["start", "--nats", url, "--data", data, "--log-level", "warn", ...args];
  return startNode([...profiling, ...tidemarkCommand(built, start)]);
}

/** Returns Node's arguments for a `tidemark` command. The working directory must be `ROOT`. */
export function tidemarkCommand(built: boolean, args: readonly string[]): string[] {
  const cli = built ? [BUILT_CLI] : ["--import", "tsx", "src/cli.ts"];
  return [...NODE_OPTIONS, ...cli, ...args];
}
