/** A client that keeps what `/sync` has sent it. */
import { markersIn, type SeenMarkers } from "../support/delta-reader.ts";
import type { Body } from "../support/harness.ts";

const TIMEOUT_MS = 1_000;
const REQUEST_LIMIT_MS = 10_000;

/** What a client has of a room. */
export interface Room {
  readonly markers: SeenMarkers;
  fullyRead: string | undefined;
  /** Order by event. */
  readonly events: Map<string, number>;
  /** Live events before this order may be missing. */
  completeFrom: number;
}

export class SyncClient {
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
