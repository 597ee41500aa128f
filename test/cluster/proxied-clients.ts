/**
 * Clients that read rooms through the proxies during faults. Each answer must come, with orders or without, and no order may ever be
 * another one; in the end every event has one.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Body } from "../support/harness.ts";

const PAUSE_MS = 200;
const REQUEST_LIMIT_MS = 30_000;
const SETTLE_LIMIT_MS = 60_000;

/** An order that somebody saw. */
export type SeenOrder = readonly [room: string, event: string, order: number];

interface ProxiedClientsOptions {
  readonly rooms: readonly string[];
  /** The URLs of the proxies now. */
  readonly proxies: () => readonly string[];
  readonly seen: (order: SeenOrder) => void;
}

export class ProxiedClients implements AsyncDisposable {
  answers = 0;
  /** The answers that lacked an order. */
  withoutOrders = 0;
  readonly failures: unknown[] = [];
  readonly #options: ProxiedClientsOptions;
  readonly #running: Promise<unknown>;
  #isOver = false;

  constructor(options: ProxiedClientsOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Waits until the answers of each proxy have all orders. Fails if one does not. */
  async assertOrdered(): Promise<void> {
    const deadline = performance.now() + SETTLE_LIMIT_MS;
    for (const url of this.#options.proxies()) {
      for (const room of this.#options.rooms) {
        while ((await this.#missing(url, room)) > 0) {
          if (performance.now() > deadline) throw new Error(`${url} answers without orders about ${room}`);
          await delay(PAUSE_MS);
        }
      }
    }
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const { rooms, proxies } = this.#options;
      const urls = proxies();
      if (urls.length > 0) {
        try {
          const missing = await this.#missing(urls[turn % urls.length]!, rooms[turn % rooms.length]!);
          this.answers++;
          if (missing > 0) this.withoutOrders++;
        } catch (error) {
          this.failures.push(error);
        }
      }
      await delay(PAUSE_MS);
    }
  }

  /** Reads a room. Resolves to the number of events without an order. */
  async #missing(url: string, room: string): Promise<number> {
    const response = await fetch(`${url}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b`, {
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const body: Body = await response.json();
    if (response.status !== 200) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
    let missing = 0;
    for (const { event_id: event, unsigned } of body.chunk) {
      if (unsigned?.order === undefined) missing++;
      else this.#options.seen([room, event, unsigned.order]);
    }
    return missing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}
