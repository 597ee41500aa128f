/**
 * The role `proxy` (docs/design.md#the-proxy): a server in front of a homeserver, the orders that it puts into the answers, and
 * the receipts of which it tells Tidemark.
 *
 * They begin apart: clients reach the homeserver before there is a connection to the broker.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { ask, send } from "../bus/client/request.ts";
import { reasonOf } from "../errors.ts";
import { Frontend } from "../frontend/frontend.ts";
import { NewReceipts } from "../homeserver/new-receipts.ts";
import { ping } from "../homeserver/ping.ts";
import type { Registration } from "../homeserver/registration.ts";
import type { PushedReceipts, PushedRoom } from "../homeserver/transaction.ts";
import { IntervalGate } from "../interval-gate.ts";
import { PROXY_DRAIN_MS, PROXY_MARKER_SYNCS_PER_SECOND, REPEATED_WARNING_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import { STABLE_ORDER, UNSTABLE_ORDER } from "../matrix/order-names.ts";
import { AcceptedReceipts, type ReceiptOutcome, type TellReceipts } from "./accepted-receipts.ts";
import type { Outcome } from "./annotation.ts";
import { Askers } from "./askers.ts";
import { BackgroundImports, type BackgroundImportsOptions } from "./background-imports.ts";
import { type MarkerSyncOutcome, MarkerSyncs, type MarkerSyncsOptions } from "./marker-syncs.ts";
import { MissedMarkers } from "./missed-markers.ts";
import { OrderFinder, type OrderSource } from "./order-finder.ts";
import { ProxyServer } from "./proxy-server.ts";
import { type PingOutcome, PushWatch } from "./push-watch.ts";
import { isUnreachable, Upstream } from "./upstream.ts";

const MS_PER_SECOND = 1_000;

interface ProxyOptions extends BackgroundImportsOptions {
  readonly host: string;
  readonly port: number;
  /** The base URL of the homeserver. */
  readonly homeserver: string;
  readonly connectionsPerNetwork: number | undefined;
  /** Whether orders are written under their unstable name alone. */
  readonly unstableOrders: boolean;
  readonly log: Logger;
  /** Called for each answer on a path with events. */
  readonly answered: (outcome: Outcome) => void;
  /** Called with numbers of events. */
  readonly found: (source: OrderSource, events: number) => void;
  readonly waited: (ms: number) => void;
  readonly away: (isAway: boolean) => void;
  /** Called for each request that the homeserver can't be sent, or whose answer it broke off. */
  readonly failed: () => void;
  /** With which the homeserver is asked to push, and users' markers and rooms are read from it. Default: they are not. */
  readonly registration: Registration | undefined;
  /** Default: `PROXY_MARKER_SYNCS_PER_SECOND`. */
  readonly markerSyncsPerSecond: number | undefined;
  /** Called for each `/sync` for markers. */
  readonly synced: (outcome: MarkerSyncOutcome) => void;
  /** Called when the homeserver's pushes begin to stall, and when they flow again. */
  readonly stalled: (isStalled: boolean) => void;
  /** Called for each ping that the homeserver was asked for. */
  readonly pinged: (outcome: PingOutcome) => void;
  /** Called with numbers of receipts that the homeserver has accepted. */
  readonly receipts: (outcome: ReceiptOutcome, receipts: number) => void;
  /** Called for each delta that can't be read. */
  readonly unreadable: (partition: number, error: unknown) => void;
}

interface Parts {
  readonly orders: OrderFinder;
  readonly receipts: AcceptedReceipts;
  /** undefined without a registration. */
  readonly syncs: MarkerSyncs | undefined;
  readonly missed: MissedMarkers | undefined;
  readonly imports: BackgroundImports;
  readonly pushes: PushWatch;
}

function pushWatch({ registration, homeserver, stalled, pinged, log }: ProxyOptions): PushWatch {
  const warnings = new IntervalGate(REPEATED_WARNING_MS);
  return new PushWatch({
    ping: registration && (() => ping(homeserver, registration)),
    onStalled: (isStalled, ms) => {
      stalled(isStalled);
      if (isStalled) log.warn("the homeserver's pushes stall: answers pass without the orders of new events");
      else log.info({ seconds: Math.round(ms / MS_PER_SECOND) }, "the homeserver's pushes flow again");
    },
    onPing: (outcome, error) => {
      pinged(outcome);
      if (outcome === "answered") log.info("the homeserver reaches Tidemark");
      else if (warnings.pass()) log.warn({ reason: reasonOf(error) }, "the homeserver could not be asked to push");
    },
  });
}

function markerSyncs(
  { registration, markerSyncsPerSecond: perSecond = PROXY_MARKER_SYNCS_PER_SECOND, synced, log }: ProxyOptions,
  from: Pick<MarkerSyncsOptions, "upstream" | "askers" | "onUser">,
): MarkerSyncs | undefined {
  if (registration === undefined) return undefined;
  const warnings = new IntervalGate(REPEATED_WARNING_MS);
  return new MarkerSyncs({
    ...from,
    asToken: registration.asToken,
    perSecond,
    onSync: (outcome, error) => {
      synced(outcome);
      if (outcome === "read" || !warnings.pass()) return;
      if (outcome === "failed") log.warn({ reason: reasonOf(error) }, "markers can't be read from the homeserver yet");
      else
        log.warn(
          "the registration can't act as a user, so the user's markers are known from pushes and the proxy alone",
        );
    },
  });
}

export class HomeserverProxy {
  readonly server: ProxyServer;
  readonly #parts: Parts;
  readonly #options: ProxyOptions;
  #frontend: Frontend | undefined;

  private constructor(server: ProxyServer, parts: Parts, options: ProxyOptions) {
    this.server = server;
    this.#parts = parts;
    this.#options = options;
  }

  static async open(options: ProxyOptions): Promise<HomeserverProxy> {
    const { log, answered, found, waited, away, failed, connectionsPerNetwork, unstableOrders } = options;
    const upstream = new Upstream(options.homeserver);
    const askers = new Askers(upstream);
    const lost = new IntervalGate(REPEATED_WARNING_MS);
    const receipts = new AcceptedReceipts({
      askers,
      onDone: (outcome, count, error) => {
        options.receipts(outcome, count);
        if (outcome !== "lost" || !lost.pass()) return;
        const reason = error === undefined ? "too many wait" : reasonOf(error);
        log.warn({ reason }, "receipts that the homeserver has accepted could not be told to Tidemark");
      },
    });
    const imports = new BackgroundImports(options);
    const syncs = markerSyncs(options, { upstream, askers, onUser: (user) => imports.user(user) });
    const missed =
      syncs && new MissedMarkers({ isFollowed: (user) => syncs.follows(user), onMissed: (user) => syncs.want(user) });
    const pushes = pushWatch(options);
    /** When the homeserver could last not be reached: `performance.now()`. */
    let unreachableAt: number | undefined;
    const warnings = new IntervalGate(REPEATED_WARNING_MS);
    let hasOrders = false;
    const orders = new OrderFinder({
      onFound: found,
      onWaited: waited,
      pushes,
      onAway: (isAway) => {
        away(isAway);
        if (isAway && hasOrders) log.warn("Tidemark can't be asked: the homeserver's answers pass without orders");
        if (!isAway) log.info("the homeserver's answers have orders");
        if (!isAway) {
          syncs?.gap(); // What was pushed meanwhile may be lost.
          pushes.back();
        }
        hasOrders = !isAway;
      },
    });
    const server = await ProxyServer.listen({
      host: options.host,
      port: options.port,
      upstream,
      ...(connectionsPerNetwork !== undefined && { connectionsPerNetwork }),
      findOrders: orders.find,
      orderNames: unstableOrders ? [UNSTABLE_ORDER] : [STABLE_ORDER, UNSTABLE_ORDER],
      onAnswer: answered,
      onReceipts: (asker, room, posted) => receipts.accept(asker, room, posted),
      userOf: (asker) => askers.userOf(asker),
      onShown: async (asker, markers) => {
        const device = await askers.deviceOf(asker).catch(() => undefined);
        if (device !== undefined) missed?.shown(device.user, markers);
      },
      onSeen: (asker) => syncs?.seen(asker),
      onUnsure: (asker) => syncs?.unsure(asker),
      onReached: () => {
        if (unreachableAt === undefined) return;
        log.info("the homeserver can be reached again");
        syncs?.gap(unreachableAt);
        unreachableAt = undefined;
      },
      onFailed: (error) => {
        failed();
        if (isUnreachable(error)) unreachableAt = performance.now();
        if (warnings.pass()) log.warn({ reason: reasonOf(error) }, "a request to the homeserver failed");
      },
    });
    log.info("requests pass to the homeserver: its answers have no orders until Tidemark has started");
    return new HomeserverProxy(server, { orders, receipts, syncs, missed, imports, pushes }, options);
  }

  /** Memory that the cached orders take. */
  get cachedBytes(): number {
    return this.#parts.orders.cachedBytes;
  }

  /** Begins to put orders in. Rejects with `BUS_UNAVAILABLE` if the deltas can't be followed. */
  async connect(nc: Bus, partitions: number): Promise<void> {
    const frontend = new Frontend(nc, partitions, { unreadable: this.#options.unreadable });
    this.#frontend = frontend;
    const follow = (partition: number) =>
      frontend.follow(partition, {
        begin: () => {},
        delta: (delta) => {
          if (delta.type !== "events") return;
          this.#parts.orders.learn(delta.room_id, delta.events);
          if (delta.kind !== "live") return;
          this.#parts.pushes.pushed();
          this.#parts.imports.folded(delta.events);
        },
        // What was missed is asked for when it is needed.
        lost: () => {},
        restarted: () => {
          this.#parts.orders.forget();
          this.#parts.syncs?.forget();
        },
      });
    await Promise.all(Array.from({ length: partitions }, (_, partition) => follow(partition)));
    this.#parts.orders.connect({
      partitions,
      ask: (room, events) => ask(nc, room, { op: "orders", event_ids: [...events] }),
    });
    const tell: TellReceipts = (room, receipts) => send(nc, { kind: "receipt", room }, receipts);
    const { receipts, syncs, missed, imports } = this.#parts;
    receipts.connect(async (room, posted) => {
      await tell(room, posted);
      syncs?.told(room, posted);
    });
    const newReceipts = NewReceipts.over(nc);
    syncs?.connect(async (room, synced) => {
      const fresh = await newReceipts.of(room, synced);
      if (fresh.length > 0) await tell(room, fresh);
    });
    const known = NewReceipts.over(nc, { inferred: false });
    missed?.connect((room, markers) => known.of(room, markers));
    await imports.connect(nc);
    void this.#watch(nc);
  }

  /** The homeserver can push to this process from now on, or to another one. */
  serve(): void {
    this.#parts.pushes.serve();
  }

  /** A push has been stored, by this process. */
  pushed(): void {
    this.#parts.pushes.pushed();
  }

  /** A push could not be stored. */
  refused(): void {
    this.#parts.pushes.refused();
  }

  /** Pushes were missed, and come again. */
  gap(): void {
    this.#parts.syncs?.caughtUp();
  }

  /** A transaction is stored, with these receipts as new ones. */
  stored(rooms: ReadonlyMap<RoomId, PushedRoom>, receipts: PushedReceipts): void {
    this.#parts.imports.stored(rooms);
    this.#parts.missed?.pushed(receipts);
  }

  get imports(): BackgroundImports {
    return this.#parts.imports;
  }

  async close(): Promise<void> {
    const { receipts, syncs, missed, pushes } = this.#parts;
    pushes.close();
    missed?.close();
    await this.server.close();
    await Promise.race([
      Promise.all([receipts.close(), syncs?.close()]),
      delay(PROXY_DRAIN_MS, undefined, { ref: false }),
    ]);
    await this.#frontend?.close();
  }

  async #watch(nc: Bus): Promise<void> {
    for await (const { type } of nc.status()) {
      if (type === "disconnect") this.#parts.orders.cutOff(true);
      else if (type === "reconnect") this.#parts.orders.cutOff(false);
    }
  }
}
