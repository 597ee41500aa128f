/**
 * A Tidemark process: its own broker if it needs one, its roles, and the shutdown.
 *
 *     proxy? ──▶ broker? ──▶ streams ──▶ worker (folds the log) ──▶ ingress ──▶ HTTP ──▶ ready
 *
 * Ingress starts after the worker, so that requests are accepted only when they can be served. A proxy starts first: clients
 * reach their homeserver whatever the others do. Shutdown is in reverse order.
 */
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyPluginAsync } from "fastify";
import type { Logger } from "pino";
import type { Order } from "../actors/entry.ts";
import { programBuild } from "./build.ts";
import { startOwnBroker } from "./bus/broker/own-broker.ts";
import type { Broker } from "./bus/broker/process.ts";
import { withoutPassword } from "./bus/client/broker-url.ts";
import { type Bus, connectBus, isForbidden, isRefusedUser } from "./bus/client/connection.ts";
import { closeBus } from "./bus/client/gathered-writes.ts";
import { untilReached } from "./bus/client/retry.ts";
import { answerForInstance } from "./bus/instances.ts";
import { lastSequence } from "./bus/log/log.ts";
import { awaitPartitionCount, storedPartitionCount } from "./bus/partition-count.ts";
import { PushReporter } from "./bus/push-reports.ts";
import { prepareBus } from "./bus/streams.ts";
import { Conditions } from "./conditions.ts";
import { reasonOf, TidemarkError } from "./errors.ts";
import { openClientApi } from "./gateway/client-api.ts";
import { openTokens } from "./gateway/tokens.ts";
import { appservice } from "./homeserver/appservice.ts";
import type { Registration } from "./homeserver/registration.ts";
import { type HttpServer, startHttpServer } from "./http/server.ts";
import { Ingress } from "./ingress/ingress.ts";
import { LogBeginnings } from "./ingress/log-beginnings.ts";
import { type InspectorOptions, inspectorRoutes } from "./inspector/routes.ts";
import { IntervalGate } from "./interval-gate.ts";
import { CLUSTER_READY_MS_MAX, REPEATED_WARNING_MS } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { makePrivate } from "./private-folders.ts";
import { HomeserverProxy } from "./proxy/proxy.ts";
import type { FederationOutboxOptions } from "./worker/federation-publisher.ts";
import { newInstanceId, workerId } from "./worker/identity.ts";
import { type MemoryOptions, Worker } from "./worker/worker.ts";

export const ROLES = ["ingress", "worker", "gateway", "proxy"] as const;
export type Role = (typeof ROLES)[number];

/** How often a process that waits for its broker tries again. */
const PATIENT_RETRY_MS = 1_000;

interface Address {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface StartOptions {
  /** URL of the broker. Default: the process runs its own, on a loopback port, with a password and its store in `<data>/nats`. */
  readonly nats?: string;
  /** A file with the password for it. See `connectBus`. */
  readonly natsPasswordFile?: string;
  readonly data: string;
  readonly http: Address;
  /** Where metrics are served, for nobody but those who watch the process. Default: nowhere. */
  readonly metrics?: Address;
  /** HTTP connections of one client address. Default: `CONNECTIONS_PER_NETWORK_MAX`. */
  readonly connectionsPerAddress?: number;
  readonly roles: ReadonlySet<Role>;
  readonly partitions?: number;
  /** The base of logs that are empty (docs/design.md#words). Default: Unix time in ms × 1,024. */
  readonly base?: Order;
  /** Replicas of each stream. Default: 3 on a cluster of brokers, otherwise 1. */
  readonly replicas?: number;
  /** Of each log that is made. See `PrepareOptions`. Default: no limit. */
  readonly logBytesMax?: number;
  readonly federation?: FederationOutboxOptions;
  /** The registration with which a homeserver pushes to the gateway or the proxy. Default: no homeserver can. */
  readonly registration?: Registration;
  /** Overrides for limits of memory and checkpoints. Default: those of `src/limits.ts`. */
  readonly memory?: MemoryOptions;
  /** The path of a file with access tokens. See `TokenOptions`. */
  readonly users?: string;
  /** The base URL of the homeserver that the proxy is in front of, or that a gateway asks about access tokens. */
  readonly homeserver?: string;
  /** Writes `org.matrix.msc4033.order` alone, not `order` as well. Default: false. */
  readonly unstableOrders?: boolean;
  /** Users whose markers the proxy reads from the homeserver in a second, at most. Default: `PROXY_MARKER_SYNCS_PER_SECOND`. */
  readonly markerSyncs?: number;
  /** Rooms that the proxy imports at a time, with a registration; 0: none. Default: `IMPORTS_AT_ONCE`. */
  readonly imports?: number;
  /** Of an imported room, how many of the newest events may be unread. Default: `IMPORT_DEPTH_DEFAULT`. */
  readonly importDepth?: number;
  /** Ends the wait of a proxy for its broker, and of a gateway for its streams. Default: they wait as long as it takes. */
  readonly stopping?: AbortSignal;
  /** Lets clients create rooms and send events over HTTP, without any auth rules. Default: false. */
  readonly standalone?: boolean;
  /** Serves the inspector, which shows private receipts. Default: no inspector. */
  readonly inspect?: Pick<InspectorOptions, "access" | "page">;
  /** Called repeatedly until the worker is live, with the numbers of folded records and of all records in its logs. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly log: Logger;
}

export interface Tidemark {
  /** Without a password, unless the broker is the process's own. */
  readonly natsUrl: string;
  readonly httpUrl: string;
  /** undefined without `StartOptions.metrics`. */
  readonly metricsUrl: string | undefined;
  /** Resolves to the reason if the process can't go on: its own broker has ended, or its connection is closed for good. */
  readonly lost: Promise<string>;
  /** Whether the broker can't be reached now: a drain may wait for it in vain. */
  isBrokerAway(): boolean;
  /** Answers pending requests, publishes what is folded, and closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts all roles. Resolves when all of them serve. If it throws, everything that was started has been stopped again.
 */
export async function start(options: StartOptions): Promise<Tidemark> {
  const { log, roles } = options;
  const started = Date.now();
  const build = await programBuild();
  log.info(build, "starting");
  const closing: (() => Promise<unknown>)[] = [];
  let stopping = false;
  const stop = async () => {
    stopping = true;
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };

  try {
    const warnings = new IntervalGate(REPEATED_WARNING_MS);
    const onWhoamiFailed = (error: unknown) => {
      if (warnings.pass()) log.warn({ reason: reasonOf(error) }, "the homeserver can't say whose an access token is");
    };
    const tokens = await openTokens({ ...options, onWhoamiFailed });
    const conditions = new Conditions({ log });
    const metrics = new Metrics(conditions, build);
    const { latencies } = metrics;
    const unreadableWarnings = new IntervalGate(REPEATED_WARNING_MS);
    const unreadable = (partition: number, error: unknown) => {
      metrics.unreadableDelta();
      if (!unreadableWarnings.pass()) return;
      log.warn({ partition, reason: reasonOf(error) }, "a delta can't be read: rooms are read again from snapshots");
    };
    const { homeserver, connectionsPerAddress: connectionsPerNetwork, unstableOrders = false } = options;
    let proxy: HomeserverProxy | undefined;
    let reporter: PushReporter | undefined;
    if (roles.has("proxy") && homeserver !== undefined) {
      proxy = await HomeserverProxy.open({
        ...options.http,
        homeserver,
        connectionsPerNetwork,
        unstableOrders,
        registration: options.registration,
        markerSyncsPerSecond: options.markerSyncs,
        imports: options.imports,
        importDepth: options.importDepth,
        serverNames: options.federation?.serverNames ?? [],
        log,
        ...metrics.proxy,
        away: (isAway) => {
          metrics.proxy.away(isAway);
          conditions.set(isAway, "without_orders");
        },
        stalled: (isStalled) => {
          metrics.proxy.stalled(isStalled);
          conditions.set(isStalled, "pushes_stalled");
          reporter?.stalled(isStalled);
        },
        unreadable,
      });
      closing.push(() => proxy!.close());
      metrics.watchCache("orders", () => proxy!.cachedBytes);
    }
    // From the start: what a proxy does meanwhile is to be seen.
    let metricsServer: HttpServer | undefined;
    let isReady = () => proxy !== undefined;
    const ready = () => !stopping && isReady();
    if (options.metrics !== undefined) {
      metricsServer = await startHttpServer({
        ...options.metrics,
        ready,
        degraded: () => conditions.open(),
        log,
        routes: [metrics.routes],
      });
      closing.push(() => metricsServer!.close());
    }
    if (options.nats === undefined || roles.has("worker")) await makePrivate(options.data, ["nats", "state"]);
    let broker: Broker | undefined;
    if (options.nats === undefined) {
      broker = await startOwnBroker(options.data, (line) => log.debug({ line }, "broker"));
      closing.push(() => broker!.stop());
    }
    const natsUrl = options.nats ?? broker!.url;
    // A proxy goes on without a broker, and waits for one.
    const made = <T>(make: () => Promise<T>) => (proxy === undefined ? make() : untilMade(make, options));
    const { natsPasswordFile: passwordFile } = options;
    const name = `tidemark ${[...roles].join(",")}`;
    const nc = await made(() => connectBus({ url: natsUrl, passwordFile, name }));
    closing.push(() => closeBus(nc));
    void watchConnection(nc, { log, metrics, conditions });
    const isConnected = () => !nc.isClosed() && !conditions.has("broker_away");
    metrics.watchConnection(isConnected);
    const about = {
      instance: roles.has("worker") ? workerId(options.data) : newInstanceId(),
      host: hostname(),
      roles: [...roles],
      ...build,
      started,
    };
    const answering = answerForInstance(nc, () => ({ ...about, ready: ready(), degraded: conditions.open() }));
    closing.push(async () => answering.unsubscribe());
    const { registration, federation: { serverNames = [] } = {} } = options;
    if (registration !== undefined) reporter = new PushReporter(nc, { ...registration, serverNames });

    const partitions = await made(() => partitionsFor(nc, options));
    let worker: Worker | undefined;
    if (roles.has("worker")) {
      const { data, federation = {}, onProgress } = options;
      worker = await Worker.start({
        nc,
        partitions,
        data,
        federation,
        conditions,
        latencies,
        replicas: options.replicas,
        log,
        ...(onProgress !== undefined && { onProgress }),
        ...options.memory,
      });
      closing.push(() => worker!.drain());
      metrics.watch(worker, (partition) => lastSequence(nc, partition));
    }
    if (roles.has("ingress")) {
      const beginnings = await LogBeginnings.begin(nc, { partitions, base: options.base });
      closing.push(async () => beginnings.close());
      const ingress = new Ingress({ nc, partitions, log, answered: latencies.requested, ...metrics.ingress });
      closing.push(() => ingress.drain());
    }
    await nc.flush();
    if (proxy !== undefined) {
      const { imports } = proxy;
      closing.push(() => imports.close());
      await made(() => proxy!.connect(nc, partitions));
    }
    const routes: FastifyPluginAsync[] = [];
    // Without tokens there are no clients, and following all deltas would be wasted work.
    const hasClients = roles.has("gateway") && (options.users !== undefined || homeserver !== undefined);
    const api = hasClients
      ? await openClientApi({ ...options, nc, partitions, tokens, unreadable, conditions, synced: latencies.synced })
      : undefined;
    if (api !== undefined) {
      closing.push(api.close);
      metrics.watchCache("deltas", api.cachedBytes);
      routes.push(api.routes);
    }
    if ((roles.has("gateway") || proxy !== undefined) && registration !== undefined)
      routes.push(
        await appservice({
          nc,
          hsToken: registration.hsToken,
          serverNames,
          log,
          ...metrics.transactions,
          stored: (events, receipts) => {
            metrics.transactions.stored(events, receipts);
            reporter?.pushed();
            proxy?.pushed();
          },
          refused: () => proxy?.refused(),
          pushed: (rooms, receipts) => proxy?.stored(rooms, receipts),
          resumed: () => proxy?.gap(),
        }),
      );
    if (options.inspect !== undefined) routes.push(inspectorRoutes({ ...options.inspect, nc, partitions, log }));
    // A proxy passes requests on whatever the others do: no other instance could do better.
    isReady = () => proxy !== undefined || (isConnected() && (worker?.ready ?? true));
    const server = await startHttpServer({
      ...options.http,
      ...(connectionsPerNetwork !== undefined && { connectionsPerNetwork }),
      ready,
      log,
      front: proxy?.server,
      answered: latencies.http,
      routes,
    });
    closing.push(() => server.close());
    proxy?.serve();
    const lost = new Promise<string>((resolve) => {
      const unlessStopping = (why: string) => () => {
        if (!stopping) resolve(why);
      };
      void broker?.exited.then(unlessStopping("the broker of this process has ended"));
      void nc.closed().then(unlessStopping("the connection to the broker is closed for good"));
    });
    log.info({ partitions, ms: Date.now() - started }, "ready: every role serves");
    return {
      natsUrl: broker?.url ?? withoutPassword(natsUrl),
      httpUrl: server.url,
      metricsUrl: metricsServer?.url,
      lost,
      isBrokerAway: () => conditions.has("broker_away"),
      stop: async () => {
        await stop();
        log.info("drained");
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Returns the partition count. Workers create missing streams, ingress too if permitted, other roles wait for them. */
async function partitionsFor(nc: Bus, options: StartOptions): Promise<number> {
  if (options.roles.has("worker")) return prepareBus(nc, options);
  if (options.roles.has("ingress")) {
    const limit = AbortSignal.timeout(CLUSTER_READY_MS_MAX);
    const stored = await untilReached(limit, () => storedPartitionCount(nc));
    try {
      if (stored === undefined) return await prepareBus(nc, options);
    } catch (error) {
      if (!isForbidden(error)) throw error;
    }
  }
  return awaitPartitionCount(nc, options.partitions);
}

/** Tries until it succeeds. Throws errors that no retry could mend, and any once the process is to stop. */
async function untilMade<T>(
  make: () => Promise<T>,
  { log, stopping }: Pick<StartOptions, "log" | "stopping">,
): Promise<T> {
  const warnings = new IntervalGate(REPEATED_WARNING_MS);
  for (;;) {
    try {
      return await make();
    } catch (error) {
      if (stopping?.aborted || !(error instanceof TidemarkError && error.shouldRetry())) throw error;
      if (warnings.pass()) log.warn({ reason: error.message }, "answers pass without orders until there is a broker");
      await delay(PATIENT_RETRY_MS, undefined, stopping === undefined ? {} : { signal: stopping }).catch(() => {});
    }
  }
}

interface Watched {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly conditions: Conditions;
}

/** Notices when the connection is lost, and when it is made again. */
async function watchConnection(nc: Bus, { log, metrics, conditions }: Watched): Promise<void> {
  // A process goes on trying, so each would repeat without end.
  const logins = new IntervalGate(REPEATED_WARNING_MS);
  const refusals = new IntervalGate(REPEATED_WARNING_MS);
  for await (const { type, data } of nc.status()) {
    if (type === "reconnect") metrics.reconnected();
    if (type === "disconnect" || type === "reconnect") {
      conditions.set(type === "disconnect", "broker_away", "", { server: data });
    } else if (type === "error" && isRefusedUser(data)) {
      if (logins.pass()) log.error({ reason: String(data) }, "the broker refuses this process: it goes on trying");
    } else if (type === "error" && refusals.pass()) {
      log.error({ reason: String(data) }, "the broker refused something");
    }
  }
}
