/**
 * A reader of the deltas of all rooms that does what docs/design.md#what-is-published says, and no more: it drops
 * messages that it has, notices gaps, and builds the markers of every room from deltas alone.
 */
import * as assert from "uvu/assert";
import type { Body } from "./harness.ts";

interface SeenMarker {
  readonly event: string;
  readonly order: number;
  readonly ts: number;
}

/** Markers by `user type thread`; the thread of an unthreaded one is empty. */
export type SeenMarkers = Map<string, SeenMarker>;

interface SeenRoom {
  /** Position of the last delta, by the last token of its subject. */
  readonly at: { events: number; receipts: number };
  readonly orders: Map<string, number>;
  readonly markers: SeenMarkers;
}

export class DeltaReader {
  readonly #rooms = new Map<string, SeenRoom>();
  readonly #repeats: boolean;

  /**
   * `repeats`: messages may be repeated, as after a restart. Otherwise each message must follow the previous one.
   * Default: false.
   */
  constructor({ repeats = false } = {}) {
    this.#repeats = repeats;
  }

  /** Reads one message of `tidemark.client.<partition>.<room>.<kind>`. */
  read(subject: string, body: Body): void {
    const kind = subject.slice(subject.lastIndexOf(".") + 1) as "events" | "receipts";
    const room = this.room(body.room_id);
    const has = room.at[kind];
    if (this.#repeats) {
      if (body.position <= has) return;
      assert.ok(body.previous <= has, `a gap in ${kind}: has ${has}, previous ${body.previous}`);
    } else {
      assert.ok(body.position > has, `${kind}: position ${body.position} is not after ${has}`);
      assert.is(body.previous, has, `${kind}: the previous message is the last one`);
    }
    room.at[kind] = body.position;
    if (kind === "events") this.#readEvents(room, body.events);
    else {
      for (const user of Object.keys(body.erased ?? {})) {
        for (const key of room.markers.keys()) if (key.startsWith(`${user} `)) room.markers.delete(key);
      }
      this.#readReceipts(room, body.event.content);
    }
  }

  room(id: string): SeenRoom {
    let room = this.#rooms.get(id);
    if (room === undefined) {
      room = { at: { events: 0, receipts: 0 }, orders: new Map(), markers: new Map() };
      this.#rooms.set(id, room);
    }
    return room;
  }

  #readEvents({ orders }: SeenRoom, events: Body[]): void {
    for (const { event_id, unsigned } of events) {
      const known = orders.get(event_id);
      assert.ok(known === undefined || known === unsigned.order, `${event_id} had another order before`);
      orders.set(event_id, unsigned.order);
    }
  }

  #readReceipts({ orders, markers }: SeenRoom, content: Body): void {
    for (const [key, marker] of markersIn(content)) {
      const order = orders.get(marker.event);
      assert.ok(order !== undefined, `${key} is at ${marker.event}, which was not published before`);
      assert.is(marker.order, Math.max(0, order), `${key} has the order of its event`);
      const before = markers.get(key);
      assert.ok(before === undefined || marker.order >= before.order, `${key} moved back`);
      markers.set(key, marker);
    }
  }
}

/** Returns the markers in the content of an `m.receipt` event. */
export function markersIn(content: Body): SeenMarkers {
  const markers: SeenMarkers = new Map();
  for (const [event, types] of Object.entries<Body>(content)) {
    for (const [type, users] of Object.entries<Body>(types)) {
      for (const [user, data] of Object.entries<Body>(users)) {
        const key = `${user} ${type} ${data.thread_id ?? ""}`;
        assert.not.ok(markers.has(key), `${key} is twice in one content`);
        markers.set(key, { event, order: data.order, ts: data.ts });
      }
    }
  }
  return markers;
}

/**
 * Returns the markers that are not covered by an unthreaded one of the same user and type, at the same order or a
 * greater one. A content has room for only one of two that are at the same event (MSC4102). Sorted, for comparison.
 */
export function uncovered(markers: SeenMarkers): [string, SeenMarker][] {
  return [...markers]
    .filter(([key, { order }]) => {
      const [user, type, thread] = key.split(" ");
      const unthreaded = markers.get(`${user} ${type} `);
      return thread === "" || unthreaded === undefined || order > unthreaded.order;
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
