/**
 * The fold: what one entry of the log does to its room (docs/design.md#the-fold, rules F1–F14).
 *
 * It is a function of the room and the entry alone: no clock, no randomness, no I/O. So two workers that fold the same
 * log reach the same state, and so does a replay a year later. Every entry has an outcome, and none throws.
 *
 *     event ── F2 known? ──────────────▶ duplicate
 *       │ F1 order, F3 thread
 *       └────▶ ordered ── F5 held receipts of this event, each judged ──┐
 *                                                                       ▼
 *     receipt ── F4 event unknown? ──▶ held            F9 origin, F6 thread, F7 order
 *       └──────────────────────────────────────────▶ advanced | released | stale | rejected
 *     erasure ── F14 ──▶ erased
 */
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { MAIN } from "../../src/matrix/id-grammar.ts";
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import { countsAsUnread, relationOf, threadRootOf } from "../../src/matrix/relations.ts";
import {
  type Entry,
  ERASURE,
  type EventInfo,
  HISTORY,
  LIVE,
  type LogRecord,
  type Position,
  positionOf,
  RECEIPT,
  STATE,
  type TimelineEntry,
} from "../entry.ts";
import { noteSent, placeInThread, redact, settleAsMain, settleAwaiting } from "./event-threads.ts";
import { foldErasure } from "./fold-erasure.ts";
import { foldReceipt, release } from "./fold-receipt.ts";
import { foldHistoricalJoin, foldState, foldStateEntry, noteState, redactState } from "./fold-state.ts";
import { ALL, relationKey } from "./order-index.ts";
import { nextOrder } from "./orders.ts";
import type { FoldedEntry, Outcome } from "./outcome.ts";
import type { Room } from "./room.ts";

/** Raise it whenever the same log would fold to another state: existing checkpoints are then rebuilt. */
export const FOLD_VERSION = 7;

const NOTED: Outcome = { outcome: "noted" };

/** Called once per valid entry, after it is folded, in log order; the room is as the entry left it. */
export type Folded = (room: Room, folded: FoldedEntry) => void;

/** Folds a record into its room, entry by entry. What is no entry only takes up its position. */
export function foldRecord(room: Room, { sequence, at, entries }: LogRecord, folded: Folded): void {
  let position = positionOf(sequence, 0);
  for (const entry of entries) {
    if (entry === null) room.position = position;
    else folded(room, { position, at, entry, outcome: fold(room, position, entry) });
    position++;
  }
}

/** Folds one entry into its room. */
export function fold(room: Room, position: Position, entry: Entry): Outcome {
  room.position = position;
  switch (entry[0]) {
    case RECEIPT:
      return foldReceipt(room, position, entry);
    case STATE:
      foldStateEntry(room, position, entry);
      return NOTED;
    case ERASURE:
      return foldErasure(room, position, entry);
    default:
      return foldEvent(room, position, entry);
  }
}

function foldEvent(room: Room, position: Position, [kind, event, imported]: TimelineEntry): Outcome {
  const { event_id: id, sender } = event;
  const known = room.events.get(id);
  if (known !== undefined) return { outcome: "duplicate", order: known.order }; // F2

  const order = nextOrder(room, kind, imported); // F1
  const counts = order > 0 && countsAsUnread(event);
  const info: EventInfo = { id, order, position, sender, thread: MAIN, settled: true, inherits: false, counts };
  room.byOrder.add(ALL, order, position);
  relate(room, info, event);

  if (event.state_key !== undefined) noteState(room, event, order, { position });
  const rethreaded = placeInThread(room, info, event);
  room.events.set(id, info);
  const root = threadRootOf(event);
  if (root !== undefined && info.redaction === undefined) room.threads.add(root, info);
  if (order > 0) {
    room.addToTimeline({ order, position });
    if (info.counts) room.unread.add(info);
    noteSent(room, info);
    if (kind === HISTORY) foldHistoricalJoin(room, event, order);
  }
  rethreaded.push(...settleAwaiting(room, info));
  rethreaded.push(...redact(room, event));
  if (kind === LIVE) {
    if (room.liveEvents === 0) room.firstLive = order;
    foldState(room, event, { position, order, since: order });
    if (info.redaction !== undefined) redactState(room, position);
    room.liveEvents++;
    for (let overdue = room.unsettled.overdue(room.liveEvents); overdue !== undefined; ) {
      rethreaded.push(...settleAsMain(room, overdue));
      overdue = room.unsettled.overdue(room.liveEvents);
    }
  }
  const others = inLogOrder(rethreaded, info);
  return { outcome: "ordered", order, judged: release(room, position, [info, ...others]), rethreaded: others };
}

function relate(room: Room, { id, order }: EventInfo, event: MatrixEvent): void {
  const { eventId: target, relType } = relationOf(event) ?? {};
  if (target === undefined || relType === undefined) return;
  room.relations.add(target, order, id);
  room.relationsByType.add(relationKey(target, relType), order, id);
  room.relationsByType.add(relationKey(target, relType, event.type), order, id);
}

/** Each event once, without `info`. Whoever folds the same log, from whatever checkpoint, gets the same sequence. */
function inLogOrder(events: readonly EventInfo[], info: EventInfo): readonly EventInfo[] {
  if (events.length === 0) return events;
  const others = new Map(events.map((event) => [event.id, event]));
  others.delete(info.id);
  return [...others.values()].sort((a, b) => a.position - b.position);
}

/**
 * F12. Whether the user has read the event; null if the event is not known. An order equal to a marker's is read by both kinds of
 * receipts: MSC4033 says "after" for unthreaded receipts and "after or the same as" for threaded ones, and its section on
 * equal orders implies "or the same" for both. That reading begins at the join is Tidemark's rule, not the proposal's.
 */
export function isRead(room: Room, user: UserId, event: EventId): boolean | null {
  const info = room.events.get(event);
  if (info === undefined) return null;
  const { order, thread, sender } = info;
  if (order < 0 || sender === user || order < room.joinedAt(user)) return true;
  return room.markers.of(user).readUpTo(thread) >= order;
}
