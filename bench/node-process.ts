/** Processes of Node that a benchmark starts: Tidemark, the echo responder. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Where its processes run. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** As package.json starts Tidemark. */
const NODE_OPTIONS = ["--max-semi-space-size=32"];
const BUILT_CLI = "dist/src/cli.js";

export interface Running extends AsyncDisposable {
  readonly pid: number;
  /** The line that it wrote when it was ready. */
  readonly line: string;
  /** Tells the process to end, and waits until it has. */
  stop(): Promise<void>;
}

/** A process that is ready once it has written a line. Throws when it ends before that. */
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
  /** Tidemark as `npm run build` left it, not from its sources. */
  readonly built: boolean;
  /** Where it leaves a CPU profile when it ends. */
  readonly profile?: string | undefined;
  /** Further options of `tidemark start`. */
  readonly args?: readonly string[];
}

/** Starts `tidemark start`; resolves when it is ready. */
export function startTidemark({ url, data, built, profile, args = [] }: TidemarkOptions): Promise<Running> {
  const profiling = profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profile];
  const start = ["start", "--nats", url, "--data", data, "--log-level", "warn", ...args];
  return startNode([...profiling, ...tidemarkCommand(built, start)]);
}

/** Arguments of Node for a `tidemark` command, in `ROOT`. */
export function tidemarkCommand(built: boolean, args: readonly string[]): string[] {
  const cli = built ? [BUILT_CLI] : ["--import", "tsx", "src/cli.ts"];
  return [...NODE_OPTIONS, ...cli, ...args];
}
