import { availableParallelism, cpus, totalmem } from "node:os";
import { findBroker } from "../src/bus/broker/find.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly natsServer: string;
}

export async function machine(): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    natsServer: (await findBroker())?.version ?? "unknown",
  };
}
