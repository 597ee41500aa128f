/**
 * Clients that sync during faults, each with every gateway in turn, and keep what they were sent.
 *
 * In the end, a client must show exactly the markers that its user may see, and every live event of its rooms that a
 * `limited` timeline didn't let it miss.
 */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import { markersIn, type SeenMarkers, uncovered } from "../support/delta-reader.ts";
import type { Body } from "../support/harness.ts";
import type { MarkersFor } from "./readers.ts";

const SETTLE_LIMIT_MS = 30_000;
const TIMEOUT_MS = 1_000;
const REQUEST_LIMIT_MS = 10_000;
const REPEAT_MS = 100;

/** What a client has of a room. */
interface Room {
  readonly markers: SeenMarkers;
  fullyRead: string | undefined;
  /** Order by event. */
  readonly events: Map<string, number>;
  /** Live events before this order may be missing. */
  completeFrom: number;
}

/** Live events of a room, by order. */
export type EventsOf = (room: string) => readonly { readonly id: string; readonly order: number }[];

class SyncClient {
  readonly user: string;
  readonly rooms = new Map<string, Room>();
  /** Events that came once more. */
  repeats = 0;
  #since: string | undefined;

  constructor(user: string) {
    this.user = user;
  }

  /** Syncs with one gateway. Throws when it doesn't answer. */
  async sync(url: string): Promise<void> {
    const query = new URLSearchParams({
      timeout: `${TIMEOUT_MS}`,
      ...(this.#since !== undefined && { since: this.#since }),
    });
    const response = await fetch(`${url}/_matrix/client/v3/sync?${query}`, {
      headers: { authorization: `Bearer ${this.user}` },
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const body: Body = await response.json();
    if (response.status !== 200) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
    for (const [room, section] of Object.entries<Body>(body.rooms.join)) this.#apply(room, section);
    this.#since = body.next_batch;
  }

  #apply(id: string, { timeline, ephemeral, account_data: own }: Body): void {
    let room = this.rooms.get(id);
    if (room === undefined) {
      room = { markers: new Map(), fullyRead: undefined, events: new Map(), completeFrom: 0 };
      this.rooms.set(id, room);
    }
    for (const { event_id: event, unsigned } of timeline.events) {
      if (room.events.has(event)) this.repeats++;
      room.events.set(event, unsigned.order);
    }
    if (timeline.limited) room.completeFrom = timeline.events[0]?.unsigned.order ?? Number.MAX_SAFE_INTEGER;
    for (const { content } of ephemeral.events) for (const [key, at] of markersIn(content)) room.markers.set(key, at);
    for (const { content } of own.events) room.fullyRead = content.event_id;
  }
}

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
