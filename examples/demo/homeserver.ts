/** What a homeserver does with Tidemark: it hands over events and receipts, and asks for the state of a room. */
import type { Position } from "../../actors/entry.ts";
import type { Bus } from "../../src/bus/client/connection.ts";
import { ask, send } from "../../src/bus/client/request.ts";
import type { Answer } from "../../src/bus/contract/questions.ts";
import { partitionOf } from "../../src/bus/contract/subjects.ts";
import { QUERY_EVENT_IDS_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import type { Delivery } from "./session.ts";
import { until } from "./until.ts";

/**
 * Sends everything in order of arrival, and resolves to the position of each room's last entry.
 *
 * Within a partition, each request is sent after the answer to the previous one. Partitions run in parallel. This is
 * enough for the order of a room, and gives every run the same order numbers: each request has its own record.
 */
export async function deliver(
  nc: Bus,
  { deliveries, partitions, onReply }: DeliverOptions,
): Promise<ReadonlyMap<RoomId, Position>> {
  const lanes = new Map<number, Delivery[]>();
  for (const delivery of deliveries) {
    const partition = partitionOf(delivery.room, partitions);
    const lane = lanes.get(partition);
    if (lane === undefined) lanes.set(partition, [delivery]);
    else lane.push(delivery);
  }
  const last = new Map<RoomId, Position>();
  const sendLane = async (lane: readonly Delivery[]) => {
    for (const { kind, room, items } of lane) {
      const positions = await send(nc, { kind, room }, items);
      last.set(room, positions.at(-1)!);
      onReply();
    }
  };
  await Promise.all([...lanes.values()].map(sendLane));
  return last;
}

interface DeliverOptions {
  readonly deliveries: readonly Delivery[];
  readonly partitions: number;
  readonly onReply: () => void;
}

/** The orders of a room's events, once the worker has folded everything through `position`. Null: not known. */
export async function ordersOf(
  nc: Bus,
  room: RoomId,
  { ids, position }: { readonly ids: readonly EventId[]; readonly position: Position },
): Promise<ReadonlyMap<EventId, number | null>> {
  const askOrders = (event_ids: EventId[]) => ask(nc, room, { op: "orders", event_ids });
  await until(`${room} is folded`, async () => (await askOrders([])).position >= position);

  const orders = new Map<EventId, number | null>();
  for (let at = 0; at < ids.length; at += QUERY_EVENT_IDS_MAX) {
    const part = ids.slice(at, at + QUERY_EVENT_IDS_MAX);
    const answer = await askOrders(part);
    for (const id of part) orders.set(id, answer.orders[id] ?? null);
  }
  return orders;
}

export function snapshotOf(nc: Bus, room: RoomId, user: UserId): Promise<Answer<"snapshot">> {
  return ask(nc, room, { op: "snapshot", user_id: user, timeline_limit: 0 });
}
