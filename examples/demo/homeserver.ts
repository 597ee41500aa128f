/** What a homeserver does with Tidemark: it hands over events and receipts, and asks for the state of a room. */
import type { Position } from "../../actors/entry.ts";
import type { Bus } from "../../src/bus/client/connection.ts";
import { decode, encode } from "../../src/bus/contract/codec.ts";
import { inSubject, partitionOf, querySubject, type Subject } from "../../src/bus/contract/subjects.ts";
import { QUERY_EVENT_IDS_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import type { ReceiptContent } from "../../src/matrix/receipt.ts";
import type { Delivery } from "./session.ts";
import { until } from "./until.ts";

const REPLY_LIMIT_MS = 10_000;

type Reply<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly errcode: string; readonly error: string };

/** A room as a sync front-end gets it for one user (docs/design.md#queries). */
export interface Snapshot {
  readonly receipts: ReceiptContent;
  readonly private: ReceiptContent;
  readonly fully_read?: { readonly event_id: EventId; readonly order: number };
}

/**
 * Sends everything in order of arrival, and resolves to the position of each room's last entry.
 *
 * A partition's requests go one by one, each after the answer to the one before; partitions go side by side. Nothing
 * more is needed for the order of a room, and every run gets the same order numbers: a request has a record of its own.
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
  const send = async (lane: readonly Delivery[]) => {
    for (const { kind, room, items } of lane) {
      const { positions } = await request<{ positions: Position[] }>(nc, inSubject(kind, room), items);
      last.set(room, positions.at(-1)!);
      onReply();
    }
  };
  await Promise.all([...lanes.values()].map(send));
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
  type Orders = { readonly position: Position; readonly orders: Record<EventId, number | null> };
  const ask = (event_ids: readonly EventId[]) =>
    request<Orders>(nc, querySubject(room), { op: "orders", event_ids: [...event_ids] });
  await until(`${room} is folded`, async () => (await ask([])).position >= position);

  const orders = new Map<EventId, number | null>();
  for (let at = 0; at < ids.length; at += QUERY_EVENT_IDS_MAX) {
    const answer = await ask(ids.slice(at, at + QUERY_EVENT_IDS_MAX));
    for (const [id, order] of Object.entries(answer.orders)) orders.set(id as EventId, order);
  }
  return orders;
}

export function snapshotOf(nc: Bus, room: RoomId, user: UserId): Promise<Snapshot> {
  return request<Snapshot>(nc, querySubject(room), { op: "snapshot", user_id: user, timeline_limit: 0 });
}

async function request<T>(nc: Bus, subject: Subject, payload: unknown): Promise<T> {
  const message = await nc.request(subject, encode(payload), { timeout: REPLY_LIMIT_MS });
  const reply = decode(message.data) as Reply<T>;
  if (!reply.ok) throw new Error(`${subject} was refused: ${reply.errcode} ${reply.error}`);
  return reply;
}
