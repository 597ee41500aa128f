/**
 * The role `proxy` (docs/design.md#the-proxy): a server in front of a homeserver, and the orders that it puts into the answers.
 *
 * The two begin apart: clients reach the homeserver before there is a connection to the broker.
 */
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import { reasonOf } from "../errors.ts";
import { Frontend } from "../frontend/frontend.ts";
import { IntervalGate } from "../interval-gate.ts";
import { REPEATED_WARNING_MS } from "../limits.ts";
import type { Outcome } from "./annotation.ts";
import { OrderFinder, type OrderSource } from "./order-finder.ts";
import { STABLE_ORDER, UNSTABLE_ORDER } from "./order-names.ts";
import { ProxyServer } from "./proxy-server.ts";

interface ProxyOptions {
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
  /** Called for each delta that can't be read. */
  readonly unreadable: (partition: number, error: unknown) => void;
}

export class HomeserverProxy {
  readonly server: ProxyServer;
  readonly #orders: OrderFinder;
  readonly #options: ProxyOptions;
  #frontend: Frontend | undefined;

  private constructor(server: ProxyServer, orders: OrderFinder, options: ProxyOptions) {
    this.server = server;
    this.#orders = orders;
    this.#options = options;
  }

  static async open(options: ProxyOptions): Promise<HomeserverProxy> {
    const { log, answered, found, waited, away, failed, connectionsPerNetwork, unstableOrders, ...address } = options;
    const warnings = new IntervalGate(REPEATED_WARNING_MS);
    let hasOrders = false;
    const orders = new OrderFinder({
      onFound: found,
      onWaited: waited,
      onAway: (isAway) => {
        away(isAway);
        if (isAway && hasOrders) log.warn("Tidemark can't be asked: the homeserver's answers pass without orders");
        if (!isAway) log.info("the homeserver's answers have orders");
        hasOrders = !isAway;
      },
    });
    const server = await ProxyServer.listen({
      ...address,
      ...(connectionsPerNetwork !== undefined && { connectionsPerNetwork }),
      findOrders: orders.find,
      orderNames: unstableOrders ? [UNSTABLE_ORDER] : [STABLE_ORDER, UNSTABLE_ORDER],
      onAnswer: answered,
      onFailed: (error) => {
        failed();
        if (warnings.pass()) log.warn({ reason: reasonOf(error) }, "a request to the homeserver failed");
      },
    });
    return new HomeserverProxy(server, orders, options);
  }

  /** Begins to put orders in. Rejects with `BUS_UNAVAILABLE` if the deltas can't be followed. */
  async connect(nc: Bus, partitions: number): Promise<void> {
    const frontend = new Frontend(nc, partitions, { unreadable: this.#options.unreadable });
    this.#frontend = frontend;
    const follow = (partition: number) =>
      frontend.follow(partition, {
        begin: () => {},
        delta: (delta) => {
          if (delta.type === "events") this.#orders.learn(delta.room_id, delta.events);
        },
        // What was missed is asked for when it is needed.
        lost: () => {},
        restarted: () => this.#orders.forget(),
      });
    await Promise.all(Array.from({ length: partitions }, (_, partition) => follow(partition)));
    this.#orders.connect({
      partitions,
      ask: (room, events) => ask(nc, room, { op: "orders", event_ids: [...events] }),
    });
    void this.#watch(nc);
  }

  async close(): Promise<void> {
    await this.server.close();
    await this.#frontend?.close();
  }

  async #watch(nc: Bus): Promise<void> {
    for await (const { type } of nc.status()) {
      if (type === "disconnect") this.#orders.cutOff(true);
      else if (type === "reconnect") this.#orders.cutOff(false);
    }
  }
}
