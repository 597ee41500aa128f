/** Queries all markers and orders, and compares them with the recording and with the folded logs. */
import type { Position } from "../../actors/entry.ts";
import { publishedOrder } from "../../actors/room/marker.ts";
import type { Bus } from "../../src/bus/client/connection.ts";
import type { EventId, RoomId } from "../../src/matrix/ids.ts";
import { compareMarkers, compareOrder, type MarkerComparison, Placement, placementOf } from "./comparison.ts";
import { ordersOf, snapshotOf } from "./homeserver.ts";
import type { Refold } from "./refold.ts";
import type { Expected, Session } from "./session.ts";

const OF_EVENTS = ["ordered", "duplicate", "noted"];

export interface Findings {
  /** Synapse's markers. */
  readonly wanted: Placement;
  readonly events: { readonly wanted: number; readonly live: number; readonly again: number; readonly equal: boolean };
  /** Synapse's markers compared with those of all users' snapshots, and with those of the logs folded again. */
  readonly live: MarkerComparison;
  readonly again: MarkerComparison;
  readonly replayDifferences: number;
  readonly promisesBroken: number;
  /** One line of text each. */
  readonly differences: readonly string[];
}

/** The answers of the live run. */
export interface Answers {
  readonly placement: Placement;
  readonly orders: ReadonlyMap<RoomId, ReadonlyMap<EventId, number | null>>;
}

/** Queries every room's snapshot for every user, and the orders of all its events, once all entries are folded. */
export async function ask(nc: Bus, { session, expected, last }: Asked): Promise<Answers> {
  const placement = new Placement();
  const orders = new Map<RoomId, ReadonlyMap<EventId, number | null>>();
  const users = new Set([...expected.users, ...session.users]);
  for (const [room, position] of last) {
    const events = [...session.events, ...expected.events_in_stream_order].filter((event) => event.room_id === room);
    const ids = [...new Set(events.map((event) => event.event_id))];
    orders.set(room, await ordersOf(nc, room, { ids, position }));
    for (const user of users) placement.addSnapshot(room, user, await snapshotOf(nc, room, user));
  }
  return { placement, orders };
}

interface Asked {
  readonly session: Session;
  readonly expected: Expected;
  readonly last: ReadonlyMap<RoomId, Position>;
}

export function judge({ session, expected, answers, refold }: Judged): Omit<Findings, "promisesBroken"> {
  const wanted = placementOf(expected);
  const refolded = placementIn(refold);
  const live = compareMarkers(wanted, answers.placement, ["Synapse", "the snapshots"]);
  const again = compareMarkers(wanted, refolded, ["Synapse", "the folded log"]);

  const streamed = new Map<RoomId, EventId[]>();
  for (const { room_id, event_id } of expected.events_in_stream_order) {
    const ids = streamed.get(room_id);
    if (ids === undefined) streamed.set(room_id, [event_id]);
    else ids.push(event_id);
  }
  const noOrders: ReadonlyMap<EventId, number | null> = new Map();
  const rooms = new Set([...streamed.keys(), ...answers.orders.keys()]);
  const order: string[] = [];
  const replay = [...compareMarkers(refolded, answers.placement, ["the folded log", "the snapshots"]).differences];
  let liveEvents = 0;
  let againEvents = 0;
  for (const room of rooms) {
    const liveOrders = answers.orders.get(room) ?? noOrders;
    order.push(...compareOrder(room, streamed.get(room) ?? [], liveOrders));
    const infos = new Map(refold.rooms.get(room)?.events ?? []);
    againEvents += infos.size;
    for (const id of new Set([...liveOrders.keys(), ...infos.keys()])) {
      const one = liveOrders.get(id) ?? null;
      const other = infos.get(id)?.order ?? null;
      if (one !== null) liveEvents++;
      if (one !== other) replay.push(`order of ${id}: ${one} in the live run, ${other} in the folded log`);
    }
  }
  const total = expected.events_in_stream_order.length;
  return {
    wanted,
    events: { wanted: total, live: liveEvents, again: againEvents, equal: order.length === 0 && againEvents === total },
    live,
    again,
    replayDifferences: replay.length,
    differences: [...order, ...live.differences, ...again.differences, ...replay, ...compareCounts(session, refold)],
  };
}

interface Judged {
  readonly session: Session;
  readonly expected: Expected;
  readonly answers: Answers;
  readonly refold: Refold;
}

/** Every receipt that was sent must have one outcome. */
function compareCounts({ receipts }: Session, { outcomes }: Refold): string[] {
  let found = 0;
  for (const [name, { count }] of outcomes) if (!OF_EVENTS.includes(name)) found += count;
  return found === receipts ? [] : [`receipts: ${receipts} were sent, ${found} have an outcome`];
}

/** The markers of the folded rooms, with the order that is published for a receipt (F8). */
function placementIn({ rooms }: Refold): Placement {
  const placement = new Placement();
  for (const room of rooms.values()) {
    for (const marker of room.markers) {
      const { user, type, thread, event } = marker;
      placement.add({ room: room.id, user, type, thread, event, order: publishedOrder(marker) });
    }
  }
  return placement;
}
