/** Arguments and options that select rooms, and the connection to the broker that has them. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type * as z from "zod";
import { ownBrokerUrl } from "../bus/broker/own-broker.ts";
import { type Bus, connectBus } from "../bus/client/connection.ts";
import { closeBus } from "../bus/client/gathered-writes.ts";
import { PARTITIONS_MAX } from "../limits.ts";
import { roomId } from "../matrix/ids.ts";
import type { OnUnreadable } from "../replay/record-source.ts";
import { dataOption, integer, natsOption, natsPasswordFileOption } from "./options.ts";
import { complain } from "./output.ts";

/** Makes a parser of arguments of a schema. */
export function parsedAs<T>(schema: z.ZodType<T>): (text: string) => T {
  return (text) => {
    const parsed = schema.safeParse(text);
    if (!parsed.success) throw new InvalidArgumentError(`${parsed.error.issues[0]?.message}.`);
    return parsed.data;
  };
}

/** How a command finds its broker. */
export interface BusOptions {
  readonly nats?: string;
  readonly natsPasswordFile?: string;
  readonly data: string;
}

/** A command that needs a broker. */
export function busCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(natsOption())
    .addOption(natsPasswordFileOption())
    .addOption(dataOption());
}

/** A command about the log of one room, or of all. */
export function logCommand(name: string, description: string): Command {
  return busCommand(name, description)
    .argument("[room]", "the room", parsedAs(roomId))
    .addOption(new Option("--all", "all rooms"));
}

export const partitionOption = () =>
  new Option("--partition <n>", "all rooms of one partition").argParser(integer(0, PARTITIONS_MAX - 1));

export const skipOption = () =>
  new Option("--skip-unreadable", "leave out what can't be read of a partition, and say so, instead of failing");

/** Says on standard error what is left out. undefined, if nothing may be. */
export function skipping(isSkipping: boolean | undefined): OnUnreadable | undefined {
  if (!isSkipping) return undefined;
  return ({ partition, after, reason }) => {
    complain(`partition ${partition}: left out ${after === 0 ? "" : `after record ${after} `}(${reason})`);
  };
}

/** Prints the message and ends the command with status 2. */
export function wrongUsage(message: string): never {
  complain(`error: ${message}`);
  throw new CommanderError(2, "tidemark.usage", message);
}

/** Connects to the broker, and disconnects when the work is done. */
export async function withBus<T>(
  { nats, natsPasswordFile: passwordFile, data }: BusOptions,
  work: (nc: Bus) => Promise<T>,
): Promise<T> {
  const url = nats ?? ownBrokerUrl(data);
  if (url === undefined) {
    wrongUsage(`--nats <url> is missing: the URL of the broker; and there is no broker of ${data}, which --data names`);
  }
  const nc = await connectBus({ url, passwordFile, name: "tidemark command" });
  try {
    return await work(nc);
  } finally {
    await closeBus(nc);
  }
}
