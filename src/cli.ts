#!/usr/bin/env -S node --max-semi-space-size=32
/**
 * The command line (DESIGN 4.6). Exit status: 0 done, 1 failed, 2 wrong usage.
 *
 * The option above (MiB, also in package.json's scripts) spares the collector a tenth of all the time that receipts
 * take: with thousands of requests in flight, Node's default of 16 makes it copy each of them twice.
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { pino } from "pino";
import { reasonOf } from "./errors.ts";
import { DRAIN_MS_MAX, PARTITIONS_MAX } from "./limits.ts";
import { ROLES, type Role, start } from "./start.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function address(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535)
    throw new InvalidArgumentError("must be <host:port>, port 0 for a free one.");
  return { host, port };
}

function roles(text: string): ReadonlySet<Role> {
  const named = text.split(",").map((role) => role.trim());
  for (const role of named) {
    if (!ROLES.includes(role as Role)) throw new InvalidArgumentError(`must be some of ${ROLES.join(",")}.`);
  }
  return new Set(named as Role[]);
}

function partitionCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > PARTITIONS_MAX) {
    throw new InvalidArgumentError(`must be an integer from 1 to ${PARTITIONS_MAX}.`);
  }
  return count;
}

const program = new Command("tidemark")
  .description("Explicit, permanent ordering of events and read receipts for Matrix rooms (MSC4033), on NATS JetStream")
  .exitOverride();

program
  .command("start")
  .description("run Tidemark; without --nats, with a broker of its own")
  .addOption(new Option("--nats <url>", "the broker, nats://host:port[,…]").env("TIDEMARK_NATS"))
  .addOption(new Option("--data <dir>", "where state is kept").env("TIDEMARK_DATA").default("tidemark-data"))
  .addOption(
    new Option("--http <host:port>", "where HTTP is served, port 0 for a free one")
      .env("TIDEMARK_HTTP")
      .argParser(address)
      .default({ host: "127.0.0.1", port: 0 }, "127.0.0.1:0"),
  )
  .addOption(
    new Option("--roles <roles>", `some of ${ROLES.join(",")}`)
      .env("TIDEMARK_ROLES")
      .argParser(roles)
      .default(new Set(ROLES), "all"),
  )
  .addOption(
    new Option("--partitions <n>", "partition count; fixed when the logs are first made (8 without this)")
      .env("TIDEMARK_PARTITIONS")
      .argParser(partitionCount),
  )
  .addOption(
    new Option("--log-level <level>", "logs go to standard error")
      .env("TIDEMARK_LOG_LEVEL")
      .choices(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
      .default("info"),
  )
  .action(async (options) => {
    const log = pino({ level: options.logLevel, base: null }, pino.destination({ dest: 2, sync: true }));
    const stopped = stopSignals();
    const tidemark = await start({ ...options, log });
    process.stdout.write(`tidemark ready nats=${tidemark.natsUrl} http=${tidemark.httpUrl}\n`);
    const why = await Promise.race([stopped, tidemark.brokerLost.then(() => "broker lost" as const)]);
    log.info({ why }, "stopping");
    if (why === "broker lost") process.exitCode = EXIT_FAILED;
    const timer = setTimeout(() => {
      log.error(`the drain took longer than ${DRAIN_MS_MAX} ms: given up, the log has everything`);
      process.exit(EXIT_FAILED);
    }, DRAIN_MS_MAX);
    await tidemark.stop();
    clearTimeout(timer);
  });

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignals(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        resolve(signal);
        process.on(signal, () => process.exit(EXIT_FAILED));
      });
    }
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof Error && "exitCode" in error && "code" in error) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has said why
  } else {
    process.stderr.write(`tidemark: ${reasonOf(error)}\n`);
    process.exitCode = EXIT_FAILED;
  }
}
