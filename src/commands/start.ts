/** `tidemark start`: runs until it is told to stop. */
import { Command, Option } from "commander";
import { TidemarkError } from "../errors.ts";
import {
  ACTIVE_ROOMS_MAX,
  CHECKPOINT_ENTRIES,
  CHECKPOINT_MS,
  DRAIN_MS_MAX,
  IDLE_MS,
  PARTITIONS_MAX,
  REPLICAS_MAX,
  TIMER_MS_MAX,
} from "../limits.ts";
import { ROLES, start } from "../start.ts";
import { address, dataOption, integer, logger, logLevelOption, natsOption, someOf } from "./options.ts";

export function startCommand(): Command {
  return new Command("start")
    .description("run Tidemark; without --nats, with a broker of its own")
    .addOption(natsOption())
    .addOption(dataOption())
    .addOption(
      new Option("--http <host:port>", "where HTTP is served, port 0 for a free one")
        .env("TIDEMARK_HTTP")
        .argParser(address)
        .default({ host: "127.0.0.1", port: 0 }, "127.0.0.1:0"),
    )
    .addOption(
      new Option("--roles <roles>", `some of ${ROLES.join(",")}`)
        .env("TIDEMARK_ROLES")
        .argParser(someOf(ROLES))
        .default(new Set(ROLES), "all"),
    )
    .addOption(
      new Option("--partitions <n>", "partition count; fixed when the logs are first made (8 without this)")
        .env("TIDEMARK_PARTITIONS")
        .argParser(integer(1, PARTITIONS_MAX)),
    )
    .addOption(
      new Option(
        "--replicas <n>",
        "copies of each stream that is made (3 on a cluster of brokers, else 1, without this)",
      )
        .env("TIDEMARK_REPLICAS")
        .argParser(integer(1, REPLICAS_MAX)),
    )
    .addOption(
      new Option("--active-rooms <n>", "rooms in memory; beyond it, the least recently used go to the store")
        .env("TIDEMARK_ACTIVE_ROOMS")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(ACTIVE_ROOMS_MAX),
    )
    .addOption(
      new Option("--idle-ms <ms>", "a room that is unused for so long goes to the store")
        .env("TIDEMARK_IDLE_MS")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(IDLE_MS),
    )
    .addOption(
      new Option("--checkpoint-ms <ms>", "how often checkpoints are written")
        .env("TIDEMARK_CHECKPOINT_MS")
        .argParser(integer(1, TIMER_MS_MAX))
        .default(CHECKPOINT_MS),
    )
    .addOption(
      new Option("--checkpoint-entries <n>", "after how many entries one is written before its time")
        .env("TIDEMARK_CHECKPOINT_ENTRIES")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(CHECKPOINT_ENTRIES),
    )
    .addOption(logLevelOption())
    .action(async (options) => {
      const log = logger(options.logLevel);
      const stopped = stopSignal();
      const { activeRooms: activeRoomsMax, idleMs, checkpointMs, checkpointEntries } = options;
      const memory = { activeRoomsMax, idleMs, checkpointMs, checkpointEntries };
      const tidemark = await start({ ...options, memory, log });
      process.stdout.write(`tidemark ready nats=${tidemark.natsUrl} http=${tidemark.httpUrl}\n`);
      const why = await Promise.race([stopped, tidemark.brokerLost.then(() => "broker lost" as const)]);
      log.info({ why }, "stopping");
      const timer = setTimeout(() => {
        log.error(`the drain took longer than ${DRAIN_MS_MAX} ms: given up, the log has everything`);
        process.exit(1);
      }, DRAIN_MS_MAX);
      await tidemark.stop();
      clearTimeout(timer);
      if (why === "broker lost") throw new TidemarkError("BUS_UNAVAILABLE", "the broker of this process has ended");
    });
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let signalled = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (signalled) process.exit(1);
      signalled = true;
      resolve(signal);
    };
    process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  });
}
