/**
 * Clients that sync during faults, each with every gateway in turn, and keep what they were sent.
 *
 * In the end, a client must show exactly the markers that its user may see, and every live event of its rooms that a
 * `limited` timeline didn't let it miss.
 */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import { type SeenMarkers, uncovered } from "../support/delta-reader.ts";
import type { MarkersFor } from "./readers.ts";
import { type Room, SyncClient } from "./sync-client.ts";

const SETTLE_LIMIT_MS = 30_000;
const REPEAT_MS = 100;

/** Live events of a room, by order. */
export type EventsOf = (room: string) => readonly { readonly id: string; readonly order: number }[];

export class SyncClients implements AsyncDisposable {
  readonly #clients: readonly SyncClient[];
  readonly #running: Promise<unknown>;
  #isOver = false;

  /** `gateways`: their URLs now; a gateway that is started again has another. */
  constructor(users: readonly string[], gateways: () => readonly string[]) {
    this.#clients = users.map((user) => new SyncClient(user));
    this.#running = Promise.all(this.#clients.map((client, i) => this.#run(client, gateways, i)));
  }

  get repeats(): number {
    return this.#clients.reduce((sum, { repeats }) => sum + repeats, 0);
  }

  /** Waits until every client shows what its user may see, and no more. Fails if one does not. */
  async assertShow(rooms: readonly string[], wanted: MarkersFor, eventsOf: EventsOf): Promise<void> {
    const deadline = performance.now() + SETTLE_LIMIT_MS;
    for (const client of this.#clients) {
      for (const room of rooms) {
        const expected = expectedIn(wanted(room, client.user), client.user);
        const all = eventsOf(room);
        const seen = () => shownBy(client.rooms.get(room), all);
        const text = JSON.stringify({ ...expected, missing: [], unknown: [] });
        while (JSON.stringify(seen()) !== text && performance.now() < deadline) await delay(REPEAT_MS);
        const what = `${room}: what /sync has shown to ${client.user}`;
        assert.equal(seen(), { ...expected, missing: [], unknown: [] }, what);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #run(client: SyncClient, gateways: () => readonly string[], number: number): Promise<void> {
    for (let turn = number; !this.#isOver; turn++) {
      const urls = gateways();
      await client.sync(urls[turn % urls.length]!).catch(() => delay(REPEAT_MS));
    }
  }
}

function expectedIn(markers: SeenMarkers, user: string) {
  const fullyRead = `${user} m.fully_read `;
  return {
    markers: uncovered(new Map([...markers].filter(([key]) => key !== fullyRead))),
    fullyRead: markers.get(fullyRead)?.event,
  };
}

function shownBy(room: Room | undefined, all: ReturnType<EventsOf>) {
  const known = new Map(all.map(({ id, order }) => [id, order]));
  return {
    markers: uncovered(room?.markers ?? new Map()),
    fullyRead: room?.fullyRead,
    missing: all.filter(({ id, order }) => order >= (room?.completeFrom ?? 0) && room?.events.get(id) !== order),
    unknown: [...(room?.events ?? [])].filter(([id, order]) => known.get(id) !== order),
  };
}
