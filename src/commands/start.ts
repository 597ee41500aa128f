/** `tidemark start`: runs until it gets a signal. */
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { Command, Option } from "commander";
import { TidemarkError } from "../errors.ts";
import { readRegistration } from "../homeserver/registration.ts";
import { IMPORT_DEPTH_DEFAULT } from "../homeserver/room-import.ts";
import {
  ACTIVE_ROOMS_MAX,
  ADMIN_TOKEN_CHARS_MIN,
  CHECKPOINT_ENTRIES,
  CHECKPOINT_MS,
  CONNECTIONS_PER_NETWORK_MAX,
  DRAIN_MS_MAX,
  FEDERATION_WINDOW_MS,
  FEDERATION_WINDOW_MS_MAX,
  IDLE_MS,
  IMPORTS_AT_ONCE,
  PARTITIONS_MAX,
  PROXY_MARKER_SYNCS_PER_SECOND,
  REPLICAS_MAX,
} from "../limits.ts";
import { ROLES, type Role, start, type Tidemark } from "../start.ts";
import { workerId } from "../worker/identity.ts";
import { wrongUsage } from "./bus.ts";
import {
  address,
  dataOption,
  httpUrl,
  integer,
  logger,
  logLevelOption,
  natsOption,
  natsPasswordFileOption,
  SECRET_HINT,
  serverNames,
  someOf,
} from "./options.ts";
import { print } from "./output.ts";
import { Progress } from "./progress.ts";

/** How long a start may go on after a signal, so that one that is nearly done drains. It may have minutes of a log to fold. */
const UNSTARTED_MS_MAX = 2_000;

/** How long the process may take to end by itself after a drain. */
const EXIT_MS_MAX = 1_000;

/** More would be no pace. */
const MARKER_SYNCS_PER_SECOND_MAX = 1_000;

/** Each holds the state and some history of a room in memory. */
const IMPORTS_AT_ONCE_MAX = 16;

/** A smaller log is full at once: one record may be that large. */
const LOG_BYTES_MAX_MIN = 8 * 1024 * 1024;

/** The longest time that a timer of Node can wait. */
const TIMER_MS_MAX = 2_147_483_647;

export function startCommand(): Command {
  return new Command("start")
    .description("run Tidemark; without --nats, it starts its own broker")
    .addOption(natsOption())
    .addOption(natsPasswordFileOption())
    .addOption(dataOption())
    .addOption(
      new Option("--http <host:port>", "the address of the HTTP server; port 0 means any free port")
        .env("TIDEMARK_HTTP")
        .argParser(address)
        .default({ host: "127.0.0.1", port: 0 }, "127.0.0.1:0"),
    )
    .addOption(
      new Option(
        "--connections-per-address <n>",
        "HTTP connections of one client address; behind a proxy, of all clients",
      )
        .env("TIDEMARK_CONNECTIONS_PER_ADDRESS")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(CONNECTIONS_PER_NETWORK_MAX),
    )
    .addOption(
      new Option("--metrics <host:port>", "serve metrics for Prometheus at this address (default: nowhere)")
        .env("TIDEMARK_METRICS")
        .argParser(address),
    )
    .addOption(
      new Option(
        "--roles <roles>",
        `a list of ${ROLES.join(",")} (default: ingress, worker, and with --homeserver proxy, otherwise gateway)`,
      )
        .env("TIDEMARK_ROLES")
        .argParser(someOf(ROLES)),
    )
    .addOption(
      new Option("--partitions <n>", "partition count; fixed once the logs are created (default: 8)")
        .env("TIDEMARK_PARTITIONS")
        .argParser(integer(1, PARTITIONS_MAX)),
    )
    .addOption(
      new Option(
        "--replicas <n>",
        "replicas of each stream that is created (default: 3 on a cluster of brokers, otherwise 1)",
      )
        .env("TIDEMARK_REPLICAS")
        .argParser(integer(1, REPLICAS_MAX)),
    )
    .addOption(
      new Option(
        "--log-bytes <n>",
        "how large each log that is created may get: a full one refuses entries, before a disk is full (default: no limit)",
      )
        .env("TIDEMARK_LOG_BYTES")
        .argParser(integer(LOG_BYTES_MAX_MIN, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(
      new Option(
        "--server-name <name>",
        "a server whose users are local; can be repeated (default: what the registration says)",
      )
        .env("TIDEMARK_SERVER_NAME")
        .argParser(serverNames),
    )
    .addOption(
      new Option("--federation-window <ms>", "how long receipts to other servers are batched")
        .env("TIDEMARK_FEDERATION_WINDOW")
        .argParser(integer(0, FEDERATION_WINDOW_MS_MAX))
        .default(FEDERATION_WINDOW_MS),
    )
    .addOption(
      new Option("--active-rooms <n>", "rooms in memory; beyond it, the least recently used ones are passivated")
        .env("TIDEMARK_ACTIVE_ROOMS")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(ACTIVE_ROOMS_MAX),
    )
    .addOption(
      new Option("--idle-ms <ms>", "a room that is unused for this long is passivated")
        .env("TIDEMARK_IDLE_MS")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(IDLE_MS),
    )
    .addOption(
      new Option("--checkpoint-ms <ms>", "the interval between checkpoints")
        .env("TIDEMARK_CHECKPOINT_MS")
        .argParser(integer(1, TIMER_MS_MAX))
        .default(CHECKPOINT_MS),
    )
    .addOption(
      new Option("--checkpoint-entries <n>", "write a checkpoint early after this many entries")
        .env("TIDEMARK_CHECKPOINT_ENTRIES")
        .argParser(integer(1, Number.MAX_SAFE_INTEGER))
        .default(CHECKPOINT_ENTRIES),
    )
    .addOption(
      new Option("--registration <file>", "the registration of the homeserver that pushes to the gateway or proxy").env(
        "TIDEMARK_REGISTRATION",
      ),
    )
    .addOption(
      new Option(
        "--users <file>",
        'access tokens, which are the passwords as well, JSON: { "<token>": { "user_id", "device_id" } }',
      ).env("TIDEMARK_USERS"),
    )
    .addOption(
      new Option(
        "--homeserver <url>",
        "the homeserver that the proxy is in front of, or that a gateway asks whose an access token is, https://host[:port]",
      )
        .env("TIDEMARK_HOMESERVER")
        .argParser(httpUrl),
    )
    .addOption(
      new Option(
        "--unstable-orders",
        "the proxy writes org.matrix.msc4033.order alone, not order as well: MSC4033 is not accepted yet",
      ).env("TIDEMARK_UNSTABLE_ORDERS"),
    )
    .addOption(
      new Option("--marker-syncs <n>", "users at most whose markers the proxy reads from the homeserver in a second")
        .env("TIDEMARK_MARKER_SYNCS")
        .argParser(integer(1, MARKER_SYNCS_PER_SECOND_MAX))
        .default(PROXY_MARKER_SYNCS_PER_SECOND),
    )
    .addOption(
      new Option("--imports <n>", "rooms that the proxy imports at a time, with a registration; 0: none")
        .env("TIDEMARK_IMPORTS")
        .argParser(integer(0, IMPORTS_AT_ONCE_MAX))
        .default(IMPORTS_AT_ONCE),
    )
    .addOption(
      new Option("--import-depth <events>", "how many of an imported room's newest events may be unread")
        .env("TIDEMARK_IMPORT_DEPTH")
        .argParser(integer(0, Number.MAX_SAFE_INTEGER))
        .default(IMPORT_DEPTH_DEFAULT),
    )
    .addOption(
      new Option(
        "--standalone",
        "let clients create rooms and send events, without any auth rules: for trying it out",
      ).env("TIDEMARK_STANDALONE"),
    )
    .addOption(
      new Option("--inspect", "serve the inspector at /inspect; it shows private receipts").env("TIDEMARK_INSPECT"),
    )
    .addOption(
      new Option(
        "--admin-token <token>",
        `the token for the inspector; at least ${ADMIN_TOKEN_CHARS_MIN} characters. ${SECRET_HINT}`,
      ).env("TIDEMARK_ADMIN_TOKEN"),
    )
    .addOption(logLevelOption())
    .action(async (options) => {
      const {
        inspect,
        adminToken,
        serverName,
        federationWindow: windowMs,
        registration: file,
        logBytes,
        ...rest
      } = options;
      const registration = file === undefined ? undefined : await readRegistration(file);
      const serverNames = serverName ?? registration?.serverNames ?? [];
      if (registration !== undefined && serverNames.length === 0) {
        wrongUsage("a homeserver that pushes needs --server-name: the servers whose users are local");
      }
      const { homeserver } = options;
      const roles =
        options.roles ?? new Set<Role>(["ingress", "worker", homeserver === undefined ? "gateway" : "proxy"]);
      if (roles.has("proxy") && homeserver === undefined) wrongUsage("the role proxy needs --homeserver <url>");
      if (roles.has("proxy") && roles.has("gateway")) {
        wrongUsage("a process is a gateway or a proxy: both serve the same paths");
      }
      const serves = [options.users, homeserver, registration, inspect];
      if (options.roles?.has("gateway") && !serves.some(Boolean)) {
        wrongUsage(
          "the role gateway needs --homeserver <url> or --users <file> to know its clients by, or --registration or --inspect: without any it has nothing to serve",
        );
      }
      if (roles.size === 1 && roles.has("proxy") && options.nats === undefined) {
        wrongUsage("a proxy alone needs --nats <url>: a broker of its own would have no worker");
      }
      if (inspect && adminToken === undefined) wrongUsage("--inspect needs --admin-token <token>");
      // Not in a parser: commander's message would have the token.
      if (adminToken !== undefined && adminToken.length < ADMIN_TOKEN_CHARS_MIN) {
        wrongUsage(`--admin-token (TIDEMARK_ADMIN_TOKEN) must have at least ${ADMIN_TOKEN_CHARS_MIN} characters`);
      }
      const log = logger(options.logLevel, {
        host: hostname(),
        role: [...roles].join(","),
        ...(roles.has("worker") && { worker: workerId(options.data) }),
      });
      const stopped = stopSignal();
      const stopping = new AbortController();
      void stopped.then(() => stopping.abort());
      const { activeRooms: activeRoomsMax, idleMs, checkpointMs, checkpointEntries } = options;
      const memory = { activeRoomsMax, idleMs, checkpointMs, checkpointEntries };
      const progress = new Progress("folding the log");
      const starting = start({
        ...rest,
        ...(logBytes !== undefined && { logBytesMax: logBytes }),
        roles,
        stopping: stopping.signal,
        onProgress: progress.update,
        ...(inspect && { inspect: { access: { adminToken } } }),
        memory,
        federation: { windowMs, ...(serverNames.length > 0 && { serverNames }) },
        ...(registration !== undefined && { registration }),
        log,
      }).finally(() => progress.stop());
      const tidemark = await begun(starting, stopped);
      if (tidemark === undefined) {
        log.info({ why: await stopped }, "stopping before the start is complete");
        process.exit(0);
      }
      const { natsUrl, httpUrl, metricsUrl } = tidemark;
      print(
        `tidemark ready nats=${natsUrl} http=${httpUrl}${metricsUrl === undefined ? "" : ` metrics=${metricsUrl}`}`,
      );
      const lost = await Promise.race([stopped.then(() => undefined), tidemark.lost]);
      log.info({ why: lost ?? (await stopped) }, "stopping");
      const timer = setTimeout(() => {
        if (lost === undefined && tidemark.isBrokerAway()) {
          log.warn("the drain is aborted, as the broker is away: nothing is lost, the log has everything");
          process.exit(0);
        }
        log.error(
          `the drain took longer than ${DRAIN_MS_MAX} ms and is aborted: nothing is lost, the log has everything`,
        );
        process.exit(1);
      }, DRAIN_MS_MAX);
      await tidemark.stop();
      clearTimeout(timer);
      // The NATS client never stops retrying what it was restoring when its connection closed, which keeps the process
      // alive.
      setTimeout(() => process.exit(), EXIT_MS_MAX).unref();
      if (lost !== undefined) throw new TidemarkError("BUS_UNAVAILABLE", lost);
    });
}

/** Resolves to undefined if it is to stop before everything serves. */
async function begun(starting: Promise<Tidemark>, stopped: Promise<unknown>): Promise<Tidemark | undefined> {
  let isStopped = false;
  const limit = stopped.then(async () => {
    isStopped = true;
    await delay(UNSTARTED_MS_MAX);
    return undefined;
  });
  try {
    return await Promise.race([starting, limit]);
  } catch (error) {
    // A proxy that waited for its broker, for instance.
    if (isStopped) return undefined;
    throw error;
  }
}

/** Resolves at the first SIGTERM or SIGINT. A second one ends the process at once. */
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
