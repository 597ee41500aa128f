/** A broker on loopback whose configuration is given, and can be changed while it runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { findBroker } from "../../src/bus/broker/find.ts";
import { eventually } from "./harness.ts";

export interface ConfiguredBroker extends AsyncDisposable {
  readonly port: number;
  /** The lines so far. */
  readonly log: readonly string[];
  /** Has the broker load another configuration. Resolves when it has. */
  reload(conf: string): Promise<void>;
}

interface BrokerOptions {
  readonly dir: string;
  readonly conf: string;
  /** Default: any free port. */
  readonly port?: number;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

export async function startConfigured({ dir, conf, port: fixed }: BrokerOptions): Promise<ConfiguredBroker> {
  const port = fixed ?? (await freePort());
  const file = join(dir, `broker-${port}.conf`);
  await writeFile(file, conf);
  const executable = process.env.TIDEMARK_NATS_SERVER ?? (await findBroker())!.path;
  const child = spawn(executable, ["-c", file, "-a", "127.0.0.1", "-p", `${port}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const closed = once(child, "close");
  const log: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => log.push(...text.trimEnd().split("\n")));
  const count = (words: string) => log.filter((line) => line.includes(words)).length;
  const broker: ConfiguredBroker = {
    port,
    log,
    reload: async (next) => {
      await writeFile(file, next);
      const before = count("Reloaded server configuration");
      child.kill("SIGHUP");
      await eventually(() => count("Reloaded server configuration") > before, "the configuration is loaded again");
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await closed;
    },
  };
  await eventually(() => count("Server is ready") > 0, "the broker is ready").catch(async (error: unknown) => {
    await broker[Symbol.asyncDispose]();
    throw error;
  });
  return broker;
}
