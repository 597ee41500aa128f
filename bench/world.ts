/**
 * The processes of one run, all on one broker: the broker, Tidemark, and an echo responder. The load is this process.
 *
 *     load ◀──▶ nats-server ◀──▶ tidemark | echo
 *
 * Those that a case does not use are idle.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startBroker } from "../src/bus/broker/process.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** As package.json starts Tidemark. */
const NODE_OPTIONS = ["--max-semi-space-size=32"];
const BUILT_CLI = "dist/src/cli.js";
const ECHO_RESPONDER = fileURLToPath(new URL("./echo-responder.ts", import.meta.url));

export interface World extends AsyncDisposable {
  readonly url: string;
  /** By name, of the processes besides this one. */
  readonly pids: Readonly<Record<string, number>>;
}

export interface WorldOptions {
  /** Tidemark as `npm run build` left it, not from its sources. */
  readonly built: boolean;
  /** Where Tidemark leaves a CPU profile when it ends. */
  readonly profile: string | undefined;
}

export async function startWorld({ built, profile }: WorldOptions): Promise<World> {
  const closing: (() => PromiseLike<void>)[] = [];
  const dispose = async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    const data = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
    closing.push(() => rm(data, { recursive: true, force: true }));
    const broker = await startBroker({ storeDir: join(data, "nats") });
    closing.push(() => broker.stop());

    const node = [...NODE_OPTIONS];
    if (profile !== undefined) node.push("--cpu-prof", "--cpu-prof-dir", resolve(profile));
    const cli = built ? [BUILT_CLI] : ["--import", "tsx", "src/cli.ts"];
    const start = ["start", "--nats", broker.url, "--data", data, "--log-level", "warn"];
    const tidemark = await startNode([...node, ...cli, ...start]);
    closing.push(tidemark.stop);
    const echo = await startNode(["--import", "tsx", ECHO_RESPONDER, broker.url]);
    closing.push(echo.stop);
    const pids = { broker: broker.pid, tidemark: tidemark.pid, echo: echo.pid };
    return { url: broker.url, pids, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

interface Running {
  readonly pid: number;
  stop(): Promise<void>;
}

/** A process that is ready once it has written a line. Throws when it ends before that. */
async function startNode(args: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const ready = once(createInterface({ input: child.stdout }), "line").then(() => true);
  if (!(await Promise.race([ready, exited.then(() => false)]))) {
    throw new Error(`${args.join(" ")} ended with ${child.exitCode} before it was ready`);
  }
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  return { pid: child.pid!, stop };
}
