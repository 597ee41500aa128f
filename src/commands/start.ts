/** `tidemark start`: runs until it is told to stop. */
import { Command, Option } from "commander";
import { TidemarkError } from "../errors.ts";
import { DRAIN_MS_MAX, PARTITIONS_MAX } from "../limits.ts";
import { ROLES, start } from "../start.ts";
import { address, dataOption, httpUrl, integer, logger, logLevelOption, natsOption, someOf } from "./options.ts";

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
      new Option("--users <file>", 'access tokens, JSON: { "<token>": { "user_id", "device_id" } }').env(
        "TIDEMARK_USERS",
      ),
    )
    .addOption(
      new Option("--whoami <homeserver>", "ask this homeserver whose an access token is, https://host[:port]")
        .env("TIDEMARK_WHOAMI")
        .argParser(httpUrl),
    )
    .addOption(
      new Option("--standalone", "make rooms and write to them over HTTP, without any auth rules: to try it out").env(
        "TIDEMARK_STANDALONE",
      ),
    )
    .addOption(logLevelOption())
    .action(async (options) => {
      const log = logger(options.logLevel);
      const stopped = stopSignal();
      const tidemark = await start({ ...options, log });
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
