/**
 * The rows of a room in the store: arrays, the shortest form that MessagePack has.
 *
 * Raise `ROWS_VERSION` with every change of a row's shape. It is a part of the checkpoint's version, next to `FOLD_VERSION`, so
 * checkpoints with other rows are rebuilt from the log.
 */
import type { EventInfo, Order, Position } from "../../actors/entry.ts";
import type { Marker } from "../../actors/room/markers.ts";
import type { RoomFacts } from "../../actors/room/room.ts";
import { MAIN } from "../matrix/id-grammar.ts";
import type { EventId, ThreadId, UserId } from "../matrix/ids.ts";
import type { ReceiptType } from "../matrix/receipt-types.ts";

export const ROWS_VERSION = 3;

export type EventRow = readonly [
  order: Order,
  thread: EventId | 0,
  sender: UserId,
  counts: 0 | 1,
  redaction: EventId | 0,
];

export function eventRow({ order, thread, sender, counts, redaction }: EventInfo): EventRow {
  return [order, thread === MAIN ? 0 : thread, sender, counts ? 1 : 0, redaction ?? 0];
}

export function eventInfo(id: EventId, [order, thread, sender, counts, redaction]: EventRow): EventInfo {
  const info: EventInfo = { id, order, thread: thread === 0 ? MAIN : thread, sender, counts: counts === 1 };
  return redaction === 0 ? info : { ...info, redaction };
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

/** A user's membership in a room, and the position of the entry that set it. */
export type MembershipRow = readonly [membership: string, position: Position];

/** In the keys of all other rows, a room's number replaces its id. */
export type RoomRow = readonly [
  number: number,
  position: Position,
  eventsChanged: Position,
  receiptsChanged: Position,
  membershipKnown: 0 | 1,
  redactionsAhead: 0 | 1,
  heldCount: number,
  acl: Record<string, unknown> | 0,
  timeline: readonly Position[],
];

export function roomRow(number: number, room: RoomFacts, heldCount: number): RoomRow {
  const { position, changed, membershipKnown, redactionsAhead, acl, timeline } = room;
  return [
    number,
    position,
    changed.events,
    changed.receipts,
    membershipKnown ? 1 : 0,
    redactionsAhead ? 1 : 0,
    heldCount,
    acl ?? 0,
    [...timeline],
  ];
}

export function roomFacts(row: RoomRow): RoomFacts {
  const [, position, events, receipts, membershipKnown, redactionsAhead, , acl, timeline] = row;
  return {
    position,
    changed: { events, receipts },
    membershipKnown: membershipKnown === 1,
    redactionsAhead: redactionsAhead === 1,
    acl: acl === 0 ? undefined : acl,
    timeline: [...timeline],
  };
}

/** Whether a room has held receipts in the store. */
export function holds(row: RoomRow): boolean {
  return row[6] > 0;
}
