/** Senders that continue whatever happens to Tidemark, and a comparison of its state with a fold from scratch. */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import type { Entry } from "../../actors/entry.ts";
import { fold, isRead } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { logStart } from "../../src/bus/log/log.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { DeltaReader, markersIn, uncovered } from "./delta-reader.ts";
import {
  type Body,
  type BusHarness,
  CLUSTER_LIMIT_MS,
  eventually,
  type Inbox,
  message,
  receipt,
  token,
} from "./harness.ts";

const ENTRIES_PER_RECORD = 1024;
const ORDERS_ASKED_MAX = 1_000;

/** Repeats a request until it is accepted, as senders must when they get no answer. Resolves to its first position. */
export async function sendUntilAccepted(bus: BusHarness, kind: string, room: string, body: unknown): Promise<number> {
  let position = 0;
  await eventually(
    async () => {
      const reply = await bus.nc
        .request(`tidemark.in.${kind}.${token(room)}`, JSON.stringify(body), { timeout: 500 })
        .catch(() => undefined);
      const { ok, positions } = reply?.json<Body>() ?? { ok: false };
      if (ok) [position] = positions;
      return ok === true;
    },
    `a reply to ${JSON.stringify(body)}`,
    // A process that was killed needs some time to be ready again.
    CLUSTER_LIMIT_MS,
  );
  return position;
}

export interface Load {
  /** Requests so far. */
  readonly count: number;
  /** The positions of acknowledged requests. */
  readonly acknowledged: readonly number[];
  /** `pauseMs`: of each sender, before each request. Default: 0. */
  start(senders: number, options?: { readonly pauseMs?: number }): void;
  stop(): Promise<void>;
}

/** Sends events, and receipts on events that exist, that come later, and that never come. */
export function load(bus: BusHarness, rooms: readonly string[], next: () => number): Load {
  const pick = (count: number) => Math.floor(next() * count);
  const acknowledged: number[] = [];
  let running: Promise<void>[] = [];
  let sending = true;
  let count = 0;
  const sender = async (pauseMs: number) => {
    while (sending) {
      if (pauseMs > 0) await delay(pauseMs);
      const room = rooms[pick(rooms.length)]!;
      const id = count++;
      if (next() < 0.3) acknowledged.push(await sendUntilAccepted(bus, "event", room, message(`$${id}`)));
      else {
        const target = `$${Math.max(0, id - 20 + pick(24))}`;
        const thread = next() < 0.2 ? { thread_id: "main" } : {};
        acknowledged.push(await sendUntilAccepted(bus, "receipt", room, receipt(`@u${pick(5)}:a.org`, target, thread)));
      }
    }
  };
  return {
    get count() {
      return count;
    },
    acknowledged,
    start: (senders, { pauseMs = 0 } = {}) => {
      running = Array.from({ length: senders }, () => sender(pauseMs));
    },
    stop: async () => {
      sending = false;
      await Promise.all(running);
    },
  };
}

/** Folds every record of these partitions in this process, from scratch. */
async function foldedFromScratch(bus: BusHarness, partitions: number): Promise<Map<string, Room>> {
  const rooms = new Map<string, Room>();
  for (let partition = 0; partition < partitions; partition++) {
    const base = (await logStart(bus.nc, partition))!.base;
    for (const { sequence, subject, entries } of await bus.records(partition)) {
      const id = decodeURIComponent(subject.slice(subject.lastIndexOf(".") + 1)) as RoomId;
      const room = rooms.get(id) ?? new Room(id, base);
      rooms.set(id, room);
      entries.forEach((entry, i) => {
        fold(room, sequence * ENTRIES_PER_RECORD + i, entry as unknown as Entry);
      });
    }
  }
  return rooms;
}

/** Asserts that the answers and the deltas of Tidemark are what a fold of the log gives. */
export async function assertMatchesLog(
  bus: BusHarness,
  { partitions, deltas, users }: { partitions: number; deltas: Inbox; users: readonly string[] },
): Promise<void> {
  const rooms = await foldedFromScratch(bus, partitions);
  for (const [id, room] of rooms) {
    const ids = Array.from(room.events, ([event]) => event).slice(-ORDERS_ASKED_MAX);
    await eventually(async () => {
      const { position } = await bus.query(id, { op: "orders", event_ids: [] });
      return position === room.position;
    }, "everything is folded");
    const { orders } = await bus.query(id, { op: "orders", event_ids: ids });
    assert.equal(orders, Object.fromEntries(ids.map((event) => [event, room.events.get(event)?.order])));
    for (const user of users as UserId[]) {
      const { read } = await bus.query(id, { op: "read", user_id: user, event_ids: ids });
      assert.equal(read, Object.fromEntries(ids.map((event: EventId) => [event, isRead(room, user, event)])));
      const { ok: _, ...unread } = await bus.query(id, { op: "unread", user_id: user });
      const { unthreaded, main } = room.unreadCounts(user);
      assert.equal(unread, { unthreaded: { count: unthreaded }, main: { count: main }, threads: {} });
    }
    const { receipts } = await bus.query(id, { op: "snapshot" });
    const wanted = JSON.stringify(uncovered(markersIn(receipts)));
    await eventually(() => {
      const reader = new DeltaReader({ repeats: true });
      for (const { subject, body } of deltas.messages) reader.read(subject, body);
      const { markers, orders } = reader.room(id);
      const hasOrders = ids.every((event) => orders.get(event) === room.events.get(event)?.order);
      return hasOrders && JSON.stringify(uncovered(markers)) === wanted;
    }, "a reader of deltas has every event's order, and the snapshot's markers");
  }
}
