/**
 * A Synapse behind Tidemark in three processes, each of which can be killed and paused, and a way for the pushes that can stall:
 *
 *     client ──▶ proxy ──▶ Synapse ──▶ stallable port ──transactions──▶ proxy ──▶ broker ◀──▶ worker, ingress
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newRegistration } from "../../src/homeserver/registration.ts";
import { serverName } from "../../src/matrix/ids.ts";
import { type CliProcess, runCli } from "./cli-process.ts";
import { type BusHarness, startBus } from "./harness.ts";
import { type LiveSynapse, startSynapse } from "./live-synapse.ts";
import { freePort } from "./scripted-homeserver.ts";
import { type StallablePort, stallablePort } from "./stallable-port.ts";

const PROCESS_LIMIT_MS = 3_600_000;
const SERVER = "synapse.test";

interface TidemarkProcess {
  start(): Promise<void>;
  /** Resolves once it has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** The log lines of all its runs. */
  lines(): string[];
}

export interface SplitSynapse extends AsyncDisposable {
  readonly synapse: LiveSynapse;
  readonly bus: BusHarness;
  readonly proxyUrl: string;
  readonly worker: TidemarkProcess;
  readonly proxy: TidemarkProcess;
  readonly pushes: StallablePort;
}

function tidemarkProcess(args: readonly string[]): TidemarkProcess {
  const runs: CliProcess[] = [];
  return {
    start: async () => {
      const running = runCli(["start", ...args], {}, { limitMs: PROCESS_LIMIT_MS });
      runs.push(running);
      await running.ready;
    },
    end: async (signal) => {
      const running = runs.at(-1);
      running?.kill("SIGCONT");
      running?.kill(signal);
      await running?.ended;
    },
    signal: (signal) => runs.at(-1)?.kill(signal),
    lines: () => runs.flatMap(({ stderr }) => stderr),
  };
}

export async function startSplitSynapse(): Promise<SplitSynapse> {
  const closing: (() => PromiseLike<void>)[] = [];
  const dispose = async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    const bus = await startBus();
    closing.push(() => bus[Symbol.asyncDispose]());
    const [port, homeserverPort] = [await freePort(), await freePort()];
    const pushes = await stallablePort(port);
    closing.push(() => pushes[Symbol.asyncDispose]());
    const registration = join(bus.dir, "tidemark.yaml");
    const serverNames = [serverName.parse(SERVER)];
    const text = newRegistration({
      id: "tidemark",
      url: pushes.url,
      serverNames,
      senderLocalpart: "tidemark",
      actsAsUsers: true,
    });
    await writeFile(registration, text);
    const common = ["--nats", bus.url, "--server-name", SERVER];
    const worker = tidemarkProcess([
      ...common,
      ...["--data", join(bus.dir, "worker"), "--roles", "ingress,worker", "--partitions", "2"],
    ]);
    const proxy = tidemarkProcess([
      ...common,
      ...["--data", join(bus.dir, "proxy"), "--roles", "proxy", "--http", `127.0.0.1:${port}`],
      ...["--homeserver", `http://127.0.0.1:${homeserverPort}`, "--registration", registration],
    ]);
    closing.push(() => worker.end("SIGKILL"));
    await worker.start();
    closing.push(() => proxy.end("SIGKILL"));
    await proxy.start();
    const synapse = await startSynapse({ port: homeserverPort, registrations: [registration] });
    closing.push(() => synapse[Symbol.asyncDispose]());
    const proxyUrl = `http://127.0.0.1:${port}`;
    return { synapse, bus, proxyUrl, worker, proxy, pushes, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
