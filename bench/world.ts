/**
 * The processes of one run, all on one broker: the broker, Tidemark, and an echo responder. The load is in this
 * process.
 *
 *     load ◀──▶ nats-server ◀──▶ tidemark | echo
 *
 * A process that a case does not use is idle.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startBroker } from "../src/bus/broker/process.ts";
import { startNode, startTidemark } from "./node-process.ts";

const ECHO_RESPONDER = fileURLToPath(new URL("./echo-responder.ts", import.meta.url));

export interface World extends AsyncDisposable {
  readonly url: string;
  /** The ids of the processes besides this one, by name. */
  readonly pids: Readonly<Record<string, number>>;
}

export interface WorldOptions {
  /** Runs the compiled code of `npm run build` instead of the sources. */
  readonly built: boolean;
  /** The folder for a CPU profile, which Tidemark writes when it ends. */
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

    const tidemark = await startTidemark({ url: broker.url, data, built, profile });
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
