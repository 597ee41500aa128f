/** A Tidemark process of the cluster under test, which can be killed, paused and started again, and whose clock can be set. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Role } from "../../src/start.ts";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import type { NatsCluster } from "../support/nats-cluster.ts";

const CLOCK = pathToFileURL(join(import.meta.dirname, "shifted-clock.ts")).href;

export interface ClusterProcess {
  readonly name: string;
  readonly role: Role;
  /** undefined while it doesn't run. */
  readonly pid: number | undefined;
  /** Where it serves HTTP; undefined while it isn't ready. */
  readonly http: string | undefined;
  /** Where it serves metrics; undefined while it isn't ready. */
  readonly metrics: string | undefined;
  /** Resolves once it is ready. */
  start(): Promise<void>;
  /** Resolves once it has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Sets its clock this far ahead of the machine's; 0 sets it right. */
  setClock(aheadMs: number): Promise<void>;
  /** The log lines of all its runs. */
  lines(): string[];
}

interface ProcessOptions {
  readonly cluster: NatsCluster;
  readonly role: Role;
  readonly number: number;
  readonly partitions: number;
  /** Default: one beside the servers' folders. */
  readonly data?: string | undefined;
  /** More options of `tidemark start`. */
  readonly more?: readonly string[];
}

export function clusterProcess({ cluster, role, number, partitions, data, more = [] }: ProcessOptions): ClusterProcess {
  const name = `${role}-${number}`;
  const url = cluster.url(role === "proxy" ? "gateway" : role);
  const clock = join(cluster.dir, `${name}.clock`);
  const env = { CLOCK_FILE: clock, NODE_OPTIONS: `--import tsx --import ${CLOCK}` };
  const args = ["--nats", url, "--data", data ?? join(cluster.dir, name), "--roles", role];
  args.push("--partitions", `${partitions}`, "--metrics", "127.0.0.1:0", ...more);
  const runs: CliProcess[] = [];
  let running: CliProcess | undefined;
  let urls: Awaited<CliProcess["ready"]> | undefined;
  const end = async (signal: NodeJS.Signals) => {
    const ending = running;
    running = undefined;
    urls = undefined;
    ending?.kill(signal);
    ending?.kill("SIGCONT");
    await ending?.ended;
  };
  return {
    name,
    role,
    get pid() {
      return running?.pid;
    },
    get http() {
      return urls?.http;
    },
    get metrics() {
      return urls?.metrics;
    },
    start: async () => {
      running = runCli(["start", ...args], env, { limitMs: 3_600_000 });
      runs.push(running);
      urls = await running.ready;
    },
    end,
    signal: (signal) => running?.kill(signal),
    setClock: (aheadMs) => writeFile(clock, `${aheadMs}`),
    lines: () => runs.flatMap(({ stderr }) => stderr),
  };
}
