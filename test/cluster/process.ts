/** A Tidemark process of the cluster under test, which can be killed, paused and started again. */
import { join } from "node:path";
import type { Role } from "../../src/start.ts";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import type { NatsCluster, User } from "../support/nats-cluster.ts";

export interface ClusterProcess {
  readonly name: string;
  readonly role: Role;
  /** Where it serves HTTP; undefined while it isn't ready. */
  readonly http: string | undefined;
  /** Resolves once it is ready. */
  start(): Promise<void>;
  /** Resolves once it has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** The log lines of all its runs. */
  lines(): string[];
}

interface ProcessOptions {
  readonly cluster: NatsCluster;
  readonly role: Role;
  readonly number: number;
  readonly partitions: number;
  /** More options of `tidemark start`. */
  readonly more?: readonly string[];
}

export function clusterProcess({ cluster, role, number, partitions, more = [] }: ProcessOptions): ClusterProcess {
  const name = `${role}-${number}`;
  const url = cluster.url(role as User);
  const args = ["--nats", url, "--data", join(cluster.dir, name), "--roles", role, "--partitions", `${partitions}`];
  const runs: CliProcess[] = [];
  let running: CliProcess | undefined;
  let http: string | undefined;
  const end = async (signal: NodeJS.Signals) => {
    const ending = running;
    running = undefined;
    http = undefined;
    ending?.kill(signal);
    ending?.kill("SIGCONT");
    await ending?.ended;
  };
  return {
    name,
    role,
    get http() {
      return http;
    },
    start: async () => {
      running = runCli(["start", ...args, ...more], {}, { limitMs: 3_600_000 });
      runs.push(running);
      ({ http } = await running.ready);
    },
    end,
    signal: (signal) => running?.kill(signal),
    lines: () => runs.flatMap(({ stderr }) => stderr),
  };
}
