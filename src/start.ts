/**
 * A Tidemark process: the broker it may need, its roles, and the way down.
 *
 *     broker? ──▶ streams ──▶ worker (folds the log) ──▶ ingress ──▶ HTTP ──▶ ready
 *
 * Ingress opens last, so that nothing is taken before it can be served; a drain goes the other way round.
 */
import { join } from "node:path";
import type { FastifyPluginAsync } from "fastify";
import type { Logger } from "pino";
import { type Broker, startBroker } from "./bus/broker/process.ts";
import { type Bus, connectBus, isForbidden } from "./bus/client/connection.ts";
import { closeBus } from "./bus/client/gathered-writes.ts";
import { untilReached } from "./bus/client/retry.ts";
import { logEnd } from "./bus/log/log.ts";
import { awaitPartitionCount, storedPartitionCount } from "./bus/partition-count.ts";
import { prepareBus } from "./bus/streams.ts";
import { openClientApi } from "./gateway/client-api.ts";
import { openTokenLookup } from "./gateway/tokens.ts";
import { appservice } from "./homeserver/appservice.ts";
import { startHttpServer } from "./http/server.ts";
import { Ingress } from "./ingress/ingress.ts";
import { type InspectorOptions, inspectorRoutes } from "./inspector/routes.ts";
import { CLUSTER_READY_MS_MAX, FEDERATION_WINDOW_MS } from "./limits.ts";
import type { ServerName } from "./matrix/ids.ts";
import { Metrics } from "./metrics.ts";
import { type MemoryOptions, Worker } from "./worker/worker.ts";

export const ROLES = ["ingress", "worker", "gateway"] as const;
export type Role = (typeof ROLES)[number];

export interface StartOptions {
  /** Without one, a broker of its own runs on a free loopback port, with its store under `<data>/nats`. */
  readonly nats?: string;
  readonly data: string;
  readonly http: { readonly host: string; readonly port: number };
  readonly roles: ReadonlySet<Role>;
  readonly partitions?: number;
  /** Of each stream; without it 3 on a cluster of brokers, 1 on one alone. */
  readonly replicas?: number;
  /** Servers whose users are local. Without any, every user whose receipts come from a front-end is. */
  readonly serverNames?: readonly ServerName[];
  /** How long receipts for other servers wait for others, ms. */
  readonly federationWindow?: number;
  /** The `hs_token` by which a homeserver pushes to the gateway; without it, none can. */
  readonly hsToken?: string;
  /** Otherwise than `src/limits.ts` has it. */
  readonly memory?: MemoryOptions;
  /** A file of access tokens, and a homeserver that is asked about others: whom the gateway serves. */
  readonly users?: string;
  readonly whoami?: string;
  /** Rooms can be made and written to over HTTP, without any auth rules. */
  readonly standalone?: boolean;
  /** Serves the inspector, to whom it says: it shows private receipts. */
  readonly inspect?: Pick<InspectorOptions, "access" | "page">;
  /** Told now and then, until the worker is live, how many records of its logs are folded, and how many there are. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly log: Logger;
}

export interface Tidemark {
  readonly natsUrl: string;
  readonly httpUrl: string;
  /** Resolves when the process's own broker has ended without being told to. */
  readonly brokerLost: Promise<void>;
  /** Answers what was taken, publishes what was folded, and closes everything. */
  stop(): Promise<void>;
}

/** Starts all roles; resolves when every one serves. Whatever was started is stopped again when it throws. */
export async function start(options: StartOptions): Promise<Tidemark> {
  const { log, roles } = options;
  const closing: (() => Promise<unknown>)[] = [];
  let stopping = false;
  const stop = async () => {
    stopping = true;
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };

  try {
    const lookupToken = await openTokenLookup(options);
    let broker: Broker | undefined;
    if (options.nats === undefined) {
      broker = await startBroker({
        storeDir: join(options.data, "nats"),
        log: (line) => log.debug({ line }, "broker"),
      });
      closing.push(() => broker!.stop());
    }
    const natsUrl = options.nats ?? broker!.url;
    const nc = await connectBus({ url: natsUrl, name: `tidemark ${[...roles].join(",")}` });
    closing.push(() => closeBus(nc));
    const metrics = new Metrics();
    void logStatus(nc, log, metrics);

    const partitions = await partitionsFor(nc, options);
    let worker: Worker | undefined;
    if (roles.has("worker")) {
      const { data, serverNames = [], federationWindow: windowMs = FEDERATION_WINDOW_MS, onProgress } = options;
      const federation = { serverNames, windowMs };
      worker = await Worker.start({
        nc,
        partitions,
        data,
        federation,
        log,
        ...(onProgress !== undefined && { onProgress }),
        ...options.memory,
      });
      closing.push(() => worker!.drain());
      metrics.watch(worker, async (partition) => (await logEnd(nc, partition)).sequence);
    }
    if (roles.has("ingress")) {
      const ingress = new Ingress({ nc, partitions, log, ...metrics.ingress });
      closing.push(() => ingress.drain());
    }
    await nc.flush();
    const ready = () => !stopping && !nc.isClosed() && (worker?.live ?? true);
    const routes: FastifyPluginAsync[] = [metrics.routes];
    const { hsToken } = options;
    // Without a token that anybody could have, it would follow every delta for nobody.
    const hasClients = roles.has("gateway") && (options.users !== undefined || options.whoami !== undefined);
    const api = hasClients ? await openClientApi({ ...options, nc, partitions, lookupToken }) : undefined;
    if (api !== undefined) {
      closing.push(api.close);
      routes.push(api.routes);
    }
    if (roles.has("gateway") && hsToken !== undefined) routes.push(await appservice({ nc, hsToken, log }));
    if (options.inspect !== undefined) routes.push(inspectorRoutes({ ...options.inspect, nc, partitions, log }));
    const server = await startHttpServer({ ...options.http, ready, log, routes });
    closing.push(() => server.close());

    const brokerLost = new Promise<void>((resolve) => {
      void broker?.exited.then(() => {
        if (!stopping) resolve();
      });
    });
    return { natsUrl, httpUrl: server.url, brokerLost, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The partition count. A worker makes what is missing, an ingress as well where it may, others wait for it. */
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

/** What becomes of the connection, in the log. */
async function logStatus(nc: Bus, log: Logger, metrics: Metrics): Promise<void> {
  for await (const status of nc.status()) {
    if (status.type === "reconnect") metrics.reconnected();
    if (status.type === "disconnect" || status.type === "reconnect") {
      log.warn({ server: status.data }, `the connection to the broker: ${status.type}`);
    } else if (status.type === "error") {
      log.error({ reason: String(status.data) }, "the broker refused something");
    }
  }
}
