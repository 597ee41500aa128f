/**
 * The rows of a room in the store: arrays, the shortest form that MessagePack has.
 *
 * The shapes are part of the checkpoint's version: whoever changes one raises `ROWS_VERSION`, and existing stores are rebuilt from
 * the log.
 */

import type { EventInfo, Order, Position } from "../../actors/entry.ts";
import type { Marker } from "../../actors/room/marker.ts";
import type { Member, RoomFacts, StateEvent } from "../../actors/room/room.ts";
import type { StateBody } from "../../actors/room/state-bodies.ts";
import type { StateChange, StatePlace } from "../../actors/room/state-changes.ts";
import type { ThreadSummary } from "../../actors/room/thread-index.ts";
import type { UnsettledEvent } from "../../actors/room/threads.ts";
import { MAIN } from "../matrix/id-grammar.ts";
import type { EventId, ThreadId, UserId } from "../matrix/ids.ts";
import type { ReceiptType } from "../matrix/receipt-types.ts";

/** Raised with every change of a row's shape. */
export const ROWS_VERSION = 14;

const COUNTS = 1;
const INHERITS = 2;
const UNSETTLED = 4;

export type EventRow = readonly [
  order: Order,
  position: Position,
  thread: EventId | 0,
  sender: UserId,
  flags: number,
  redaction?: EventId | 0,
  movedFrom?: ThreadId,
];

export function eventRow(info: EventInfo): EventRow {
  const { order, position, thread, sender, redaction, movedFrom } = info;
  const flags = (info.counts ? COUNTS : 0) | (info.inherits ? INHERITS : 0) | (info.settled ? 0 : UNSETTLED);
  const row = [order, position, thread === MAIN ? 0 : thread, sender, flags] as const;
  if (movedFrom !== undefined) return [...row, redaction ?? 0, movedFrom];
  return redaction === undefined ? row : [...row, redaction];
}

export function eventInfo(id: EventId, row: EventRow): EventInfo {
  const [order, position, thread, sender, flags, redaction = 0, movedFrom] = row;
  return {
    id,
    order,
    position,
    sender,
    thread: thread === 0 ? MAIN : thread,
    settled: (flags & UNSETTLED) === 0,
    inherits: (flags & INHERITS) !== 0,
    counts: (flags & COUNTS) !== 0,
    ...(redaction !== 0 && { redaction }),
    ...(movedFrom !== undefined && { movedFrom }),
  };
}

export type MarkerRow = readonly [
  type: ReceiptType,
  thread: ThreadId | null,
  event: EventId,
  order: Order,
  ts: number,
  position: Position,
  inferred: 0 | 1,
];

export function markerRow({ type, thread, event, order, ts, position, inferred }: Marker): MarkerRow {
  return [type, thread, event, order, ts, position, inferred ? 1 : 0];
}

export function marker(user: UserId, [type, thread, event, order, ts, position, inferred]: MarkerRow): Marker {
  const stored: Marker = { user, type, thread, event, order, ts, position };
  return inferred === 1 ? { ...stored, inferred: true } : stored;
}

export type StateRow = readonly [position: Position, order: Order];

export function stateRow({ position, order }: StateEvent): StateRow {
  return [position, order];
}

export function stateEvent([position, order]: StateRow): StateEvent {
  return { position, order };
}

export type StateChangeRow = readonly [
  position: Position,
  value?: string | 0,
  before?: string | 0,
  entry?: EventId | undefined,
];

export function stateChangeRow({ position, value, before, entry }: StateChange): StateChangeRow {
  if (entry !== undefined) return [position, value ?? 0, before ?? 0, entry];
  if (before !== undefined) return [position, value ?? 0, before];
  return value === undefined ? [position] : [position, value];
}

export function stateChange([position, value = 0, before = 0, entry]: StateChangeRow): StateChange {
  return {
    position,
    ...(value !== 0 && { value }),
    ...(before !== 0 && { before }),
    ...(entry !== undefined && { entry }),
  };
}

export type StateBodyRow = readonly [key: string, json: string, isWhole: 0 | 1];

export function stateBodyRow(key: string, { json, isWhole }: StateBody): StateBodyRow {
  return [key, json, isWhole ? 1 : 0];
}

export function stateBody(position: Position, [key, json, isWhole]: StateBodyRow): readonly [string, StateBody] {
  return [key, { position, json, isWhole: isWhole === 1 }];
}

export type StatePlaceRow = readonly [key: string, order: Order];

export function statePlaceRow({ key, order }: StatePlace): StatePlaceRow {
  return [key, order];
}

export function statePlace([key, order]: StatePlaceRow): StatePlace {
  return { key, order };
}

export type UnsettledRow = readonly [id: EventId, order: Order, sender: UserId, target: EventId, deadline?: number];

export function unsettledRow({ id, order, sender, target, deadline }: UnsettledEvent): UnsettledRow {
  return deadline === undefined ? [id, order, sender, target] : [id, order, sender, target, deadline];
}

export function unsettledEvent(
  position: Position,
  [id, order, sender, target, deadline]: UnsettledRow,
): UnsettledEvent {
  return { id, position, order, sender, target, ...(deadline !== undefined && { deadline }) };
}

export type ThreadRow = readonly [count: number, latest: Order];

export function threadRow({ count, latest }: ThreadSummary): ThreadRow {
  return [count, latest];
}

export function threadSummary([count, latest]: ThreadRow): ThreadSummary {
  return { count, latest };
}

/** A user's membership in a room: by room, and by user. */
export type MemberRow = readonly [membership: string, position: Position, joined: Order, left: Order];

export function memberRow({ membership, position, joined, left }: Member): MemberRow {
  return [membership, position, joined, left];
}

export function member([membership, position, joined, left]: MemberRow): Member {
  return { membership, position, joined, left };
}

/** In the keys of all other rows, a room's number replaces its id. */
export type RoomRow = readonly [
  number: number,
  position: Position,
  eventsChanged: Position,
  receiptsChanged: Position,
  greatest: Order,
  smallest: Order,
  negative: Order,
  liveEvents: number,
  membershipKnown: 0 | 1,
  redactionsAhead: 0 | 1,
  heldCount: number,
  unsettledCount: number,
  acl: Record<string, unknown> | 0,
  /** Order and position of each event, one after the other. */
  timeline: readonly number[],
  firstLive: Order,
  joined: number,
  invited: number,
  publicMarkersGot: number,
  hasErasures: 0 | 1,
];

export function roomRow(
  number: number,
  room: RoomFacts,
  { held, unsettled }: { readonly held: number; readonly unsettled: number },
): RoomRow {
  const { position, changed, orders, liveEvents, membershipKnown, redactionsAhead, acl, timeline, firstLive, present } =
    room;
  return [
    number,
    position,
    changed.events,
    changed.receipts,
    orders.greatest,
    orders.smallest,
    orders.negative,
    liveEvents,
    membershipKnown ? 1 : 0,
    redactionsAhead ? 1 : 0,
    held,
    unsettled,
    acl ?? 0,
    timeline.flatMap((event) => [event.order, event.position]),
    firstLive,
    present.join,
    present.invite,
    room.publicMarkersGot,
    room.hasErasures ? 1 : 0,
  ];
}

export function roomFacts(row: RoomRow): RoomFacts {
  const [, position, events, receipts, greatest, smallest, negative, liveEvents] = row;
  const [membershipKnown, redactionsAhead, , , acl, places, firstLive, join, invite, got, erasures] = row.slice(8) as [
    0 | 1,
    0 | 1,
    number,
    number,
    RoomRow[12],
    RoomRow[13],
    RoomRow[14],
    number,
    number,
    number,
    0 | 1,
  ];
  const timeline = [];
  for (let i = 0; i < places.length; i += 2) timeline.push({ order: places[i]!, position: places[i + 1]! });
  return {
    position,
    changed: { events, receipts },
    orders: { greatest, smallest, negative },
    liveEvents,
    firstLive,
    membershipKnown: membershipKnown === 1,
    present: { join, invite },
    publicMarkersGot: got,
    redactionsAhead: redactionsAhead === 1,
    hasErasures: erasures === 1,
    acl: acl === 0 ? undefined : acl,
    timeline,
  };
}

/** How many held receipts and unsettled events a room has to be loaded with. */
export function waitingIn(row: RoomRow): { readonly held: number; readonly unsettled: number } {
  return { held: row[10], unsettled: row[11] };
}
