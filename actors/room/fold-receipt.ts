/**
 * What becomes of a receipt: held while its event is not known (F4) or not settled (F6), and judged by origin (F9), thread (F6) and
 * order (F7), at once or when it is released (F5).
 *
 * A receipt of unknown thread (`UNKNOWN_THREAD`) may have been threaded or unthreaded. It is treated as a receipt in the
 * thread of its event: that much is read in either case. Treating it as unthreaded would mark messages as read that nobody
 * has seen. Its marker is an *inferred* one, stored apart from those of known thread. It has an effect only where none of
 * them covers it, and is dropped when one does. So if both kinds arrive, in whatever order, only those of known thread stay.
 */
import type { ServerName } from "../../src/matrix/ids.ts";
import { FULLY_READ } from "../../src/matrix/receipt-types.ts";
import { type EventInfo, type Position, type ReceiptEntry, UNKNOWN_THREAD } from "../entry.ts";
import type { Marker } from "./marker.ts";
import {
  ACL_DENIED,
  ERASED,
  HELD_OVERFLOW,
  type JudgedReceipt,
  type Judgement,
  type Moved,
  NOT_JOINED,
  type Outcome,
  WRONG_THREAD,
} from "./outcome.ts";
import type { Room } from "./room.ts";
import type { UserMarkers } from "./user-markers.ts";

const HELD: Outcome = { outcome: "held", overflow: undefined };
const NO_RECEIPTS: readonly JudgedReceipt[] = [];

export function foldReceipt(room: Room, position: Position, receipt: ReceiptEntry): Outcome {
  if (isErased(room, receipt)) return ERASED; // F14
  const info = room.events.get(receipt[3]);
  if (info !== undefined && !waitsForThread(receipt, info)) return judge(room, position, receipt, info);

  // F9 comes again when the receipt is judged; a denied server doesn't get to fill the room's held receipts until then.
  if (aclDenies(room, receipt[6])) return ACL_DENIED;
  const dropped = room.held.hold(position, receipt); // F4
  if (info !== undefined) room.unsettled.limit(room.unsettled.get(info.id)!, room.liveEvents);
  return dropped === undefined ? HELD : { outcome: "held", overflow: { held: dropped, judgement: HELD_OVERFLOW } };
}

/**
 * Whether a marker (F6, F7), or a held receipt, says already what this receipt says: folding it would move no marker. With `inferred:
 * false` only those of known thread count, so that a receipt of unknown thread that was folded is not said by itself.
 */
export function addsNothing(
  room: Room,
  receipt: ReceiptEntry,
  { inferred = true }: { readonly inferred?: boolean | undefined } = {},
): boolean {
  if (isErased(room, receipt)) return true;
  const { 1: user, 2: type, 3: event, 4: thread, 7: accepted = false } = receipt;
  const info = room.events.get(event);
  if (info === undefined || waitsForThread(receipt, info)) {
    for (const { receipt: held } of room.held.on(event)) {
      if (held[1] !== user || held[2] !== type || (!inferred && held[4] === UNKNOWN_THREAD)) continue;
      const isSame = held[4] === thread && (held[7] === true || !accepted);
      if (isSame || thread === UNKNOWN_THREAD) return true;
    }
    if (info === undefined) return false;
  }
  const own = room.markers.of(user);
  if (thread === UNKNOWN_THREAD) {
    const { thread: settled, order } = info;
    // A marker of all threads covers it in whatever thread it is.
    const covering = info.settled ? own.covering(type, settled, { order, inferred }) : own.get(type, null);
    return covering !== undefined && covering.order >= order;
  }
  const current = own.get(type, thread);
  if (current === undefined) return false;
  return current.event === event || (info.order <= current.order && !(accepted && type === FULLY_READ));
}

/**
 * F5, F6. Held receipts on these events that can be judged now, as if they had come just after this entry: the event that came,
 * then those that were settled with it.
 */
export function release(room: Room, position: Position, events: readonly EventInfo[]): readonly JudgedReceipt[] {
  if (room.held.size === 0) return NO_RECEIPTS;
  return events.flatMap((event) => releaseOn(room, position, event));
}

function releaseOn(room: Room, position: Position, info: EventInfo): JudgedReceipt[] {
  const released: JudgedReceipt[] = [];
  for (const held of room.held.on(info.id)) {
    if (waitsForThread(held.receipt, info)) {
      room.unsettled.limit(room.unsettled.get(info.id)!, room.liveEvents);
      continue;
    }
    room.held.release(held);
    const judgement = judge(room, position, held.receipt, info);
    released.push({
      held,
      judgement: judgement.outcome === "advanced" ? { ...judgement, outcome: "released" } : judgement,
    });
  }
  return released;
}

/** F14. */
function isErased({ hasErasures, erasures }: Room, { 1: user, 5: ts }: ReceiptEntry): boolean {
  return hasErasures && ts <= (erasures.get(user) ?? -1);
}

/** F6. A receipt of unknown thread can't be judged while its event isn't settled. */
function waitsForThread(receipt: ReceiptEntry, info: EventInfo): boolean {
  return receipt[4] === UNKNOWN_THREAD && !info.settled;
}

function judge(room: Room, position: Position, receipt: ReceiptEntry, info: EventInfo): Judgement {
  // Not by an iterator: this is the hot path.
  const { 1: user, 2: type, 4: thread, 5: ts, 6: origin, 7: accepted = false } = receipt;
  if (origin !== null) {
    if (aclDenies(room, origin)) return ACL_DENIED; // F9
    if (!accepted && room.membershipKnown && room.members.get(user)?.membership !== "join") return NOT_JOINED; // F9
  }
  if (thread === UNKNOWN_THREAD) return judgeInferred(room, position, receipt, info);
  if (thread !== null && !accepted && info.settled && thread !== info.thread && thread !== info.movedFrom) {
    return WRONG_THREAD; // F6
  }
  const own = room.markers.of(user);
  const current = own.get(type, thread);
  const { id: event, order } = info;
  const to: Marker = { user, type, thread, event, order, ts, position };
  if (current === undefined) return advance(room, own, { current, to });
  const replaces = accepted && type === FULLY_READ && current.event !== event;
  if (order <= current.order && !replaces) return { outcome: "stale", marker: current }; // F7
  return advance(room, own, { current, to });
}

/** A receipt of unknown thread, as one in the thread of its event. */
function judgeInferred(room: Room, position: Position, receipt: ReceiptEntry, info: EventInfo): Judgement {
  const [, user, type, , , ts] = receipt;
  const own = room.markers.of(user);
  const { id: event, thread, order } = info;
  const covering = own.covering(type, thread, { order });
  if (covering !== undefined) return { outcome: "stale", marker: covering };
  const current = own.inferred(type, thread);
  return advance(room, own, {
    current,
    to: { user, type, thread, event, order, ts, position, inferred: true },
  });
}

/** Moves a user's current marker, or adds a new one. */
function advance(
  { markers }: Room,
  own: UserMarkers,
  { current, to }: { readonly current: Marker | undefined; readonly to: Marker },
): Moved {
  if (current === undefined) {
    markers.add(own, to);
    return { outcome: "advanced", marker: to, from: undefined, fromEvent: undefined };
  }
  const { order: from, event: fromEvent } = current;
  markers.move(own, current, to);
  return { outcome: "advanced", marker: current, from, fromEvent };
}

function aclDenies(room: Room, origin: ServerName | null): boolean {
  return origin !== null && !room.allows(origin);
}
