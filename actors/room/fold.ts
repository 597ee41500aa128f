/**
 * The fold: what one entry of the log does to its room (docs/design.md#the-fold, rules F1–F13).
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
 *
 * A receipt of unknown thread (`UNKNOWN_THREAD`) may have been threaded or unthreaded. It is treated as a receipt in the
 * thread of its event: that much is read in either case. Treating it as unthreaded would mark messages as read that nobody
 * has seen. Its marker is an *inferred* one, stored apart from those of known thread. It has an effect only where none of
 * them covers it, and is dropped when one does. So if both kinds arrive, in whatever order, only those of known thread stay.
 */

import type { MatrixEvent } from "../../src/matrix/event.ts";
import { MAIN } from "../../src/matrix/id-grammar.ts";
import { type EventId, type ServerName, type ThreadId, type UserId, userId } from "../../src/matrix/ids.ts";
import { FULLY_READ } from "../../src/matrix/receipt-types.ts";
import { countsAsUnread, inheritedFrom, redactedBy, relationOf, threadRootOf } from "../../src/matrix/relations.ts";
import {
  type Entry,
  type EventInfo,
  HISTORY,
  LIVE,
  type LogRecord,
  type Order,
  type Position,
  positionOf,
  RECEIPT,
  type ReceiptEntry,
  STATE,
  type StateEntry,
  type TimelineEntry,
  UNKNOWN_THREAD,
} from "../entry.ts";
import type { HeldReceipt } from "./held.ts";
import type { Marker, UserMarkers } from "./markers.ts";
import { ALL, relationKey } from "./order-index.ts";
import { nextOrder } from "./orders.ts";
import type { Member, Room, StateEvent } from "./room.ts";
import { HALF_AN_ORDER, HISTORY_VISIBILITY_KEY, type StateChange, stateKey } from "./state-changes.ts";
import type { UnsettledEvent } from "./threads.ts";
import { understoodVisibility } from "./visibility.ts";

/** Raise it whenever the same log would fold to another state: existing checkpoints are then rebuilt. */
export const FOLD_VERSION = 4;

export type RejectReason = "wrong_thread" | "acl_denied" | "not_joined" | "held_overflow";

export interface Rejected {
  readonly outcome: "rejected";
  readonly reason: RejectReason;
  /** For a person. Names no user. */
  readonly detail: string;
}

interface Moved {
  readonly outcome: "advanced" | "released";
  readonly marker: Marker;
  /** Where the marker stood before; undefined for a new one. */
  readonly from: Order | undefined;
  readonly fromEvent: EventId | undefined;
}

/** What became of a receipt whose event is known. */
export type Judgement = Moved | { readonly outcome: "stale"; readonly marker: Marker } | Rejected;

/** What became of a held receipt. */
export interface JudgedReceipt {
  readonly held: HeldReceipt;
  readonly judgement: Judgement;
}

export type Outcome =
  | {
      readonly outcome: "ordered";
      readonly order: Order;
      /** Held receipts that could be judged then (F5, F6), in that order. */
      readonly judged: readonly JudgedReceipt[];
      /** Other events whose thread was settled, or changed (F3, F11). */
      readonly rethreaded: readonly EventInfo[];
    }
  | { readonly outcome: "duplicate"; readonly order: Order }
  | { readonly outcome: "noted" }
  | { readonly outcome: "held"; readonly overflow: JudgedReceipt | undefined }
  | Judgement;

const NOTED: Outcome = { outcome: "noted" };
const HELD: Outcome = { outcome: "held", overflow: undefined };
const NO_RECEIPTS: readonly JudgedReceipt[] = [];

const WRONG_THREAD: Rejected = {
  outcome: "rejected",
  reason: "wrong_thread",
  detail: "the event is in another thread than the receipt names",
};
const ACL_DENIED: Rejected = {
  outcome: "rejected",
  reason: "acl_denied",
  detail: "the room's m.room.server_acl denies the server that sent the receipt",
};
const NOT_JOINED: Rejected = {
  outcome: "rejected",
  reason: "not_joined",
  detail: "the receipt came over federation and its user is not joined to the room",
};
const HELD_OVERFLOW: Rejected = {
  outcome: "rejected",
  reason: "held_overflow",
  detail: "newer receipts for events that are not known took its place",
};

/** An entry that was folded: its place, the clock of its record in Unix ms, and what became of it. */
export interface FoldedEntry {
  readonly position: Position;
  readonly at: number;
  readonly entry: Entry;
  readonly outcome: Outcome;
}

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

/** F3. Sets the event's thread. Returns the events that are settled because there are too many unsettled ones. */
function placeInThread(room: Room, info: EventInfo, event: MatrixEvent): EventInfo[] {
  const named = threadRootOf(event);
  const target = named === undefined ? inheritedFrom(event) : undefined;
  const above = target === undefined ? undefined : room.events.get(target);
  const redaction = room.redactionsAhead ? room.redactions.get(info.id) : undefined;
  if (redaction !== undefined) {
    // F11. The event is in main, as if it had come before its redaction.
    info.redaction = redaction;
    info.counts = false;
    const before = named ?? (above?.settled ? above.thread : MAIN);
    if (before !== MAIN) info.movedFrom = before;
    return [];
  }
  if (named !== undefined) info.thread = named;
  if (target === undefined) return [];
  info.inherits = true;
  if (above?.settled) {
    info.thread = above.thread;
    return [];
  }
  const awaited = above === undefined ? target : room.unsettled.awaitedBy(target)!;
  if (awaited === info.id) return []; // a circle: all of it is in main
  info.settled = false;
  const { id, position, order, sender } = info;
  const surplus = room.unsettled.add({ id, position, order, sender, target }, awaited);
  // Its events are read from the room, this one too.
  room.events.set(id, info);
  return surplus === undefined ? [] : settleAsMain(room, surplus);
}

/** F3. Settles the events that awaited this one, or makes them await what this one awaits. Returns those that were settled. */
function settleAwaiting(room: Room, info: EventInfo): EventInfo[] {
  const awaiting = room.unsettled.awaiting(info.id);
  if (awaiting.length === 0) return [];
  if (info.settled) return awaiting.map((event) => settle(room, event, info.thread));
  room.unsettled.merge(info.id, room.unsettled.awaitedBy(info.id)!);
  return [];
}

function settle(room: Room, event: UnsettledEvent, thread: ThreadId): EventInfo {
  room.unsettled.delete(event);
  const info = room.events.get(event.id)!;
  if (info.counts && info.thread !== thread) room.unread.move(info, thread);
  info.thread = thread;
  info.settled = true;
  room.events.set(info.id, info);
  if (info.order > 0) {
    room.sent.add(info);
    room.markers.touch(info.sender, MAIN);
    room.markers.touch(info.sender, thread);
  }
  return info;
}

/** F3, F6. Settles an event, and those that inherit from it, as `main`, although the event that it awaits has not come. */
function settleAsMain(room: Room, event: UnsettledEvent): EventInfo[] {
  const settled: EventInfo[] = [];
  const stack = [event];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    settled.push(settle(room, next, MAIN));
    for (const [, id] of room.relations.range(next.id)) {
      const child = room.unsettled.get(id);
      if (child?.target === next.id) stack.push(child);
    }
  }
  return settled;
}

/** F13. The event counts like a receipt of its sender's for its thread. While it is unsettled, `room.unsettled` has it. */
function noteSent(room: Room, info: EventInfo): void {
  if (!info.settled || room.sent.add(info)) room.markers.touch(info.sender, info.thread);
}

/**
 * F11. The target keeps its order and markers, and does not count as unread; it moves to `main`, with what inherits its thread. A
 * target that is not known is redacted when it comes. Returns the events that it moved.
 */
function redact(room: Room, redaction: MatrixEvent): EventInfo[] {
  const id = redactedBy(redaction);
  if (id === undefined) return [];
  const target = room.events.get(id);
  if (target === undefined) {
    if (room.redactions.get(id) === undefined) room.redactions.set(id, redaction.event_id);
    room.redactionsAhead = true;
    return [];
  }
  if (target.redaction !== undefined) return [];
  target.redaction = redaction.event_id;
  if (target.counts) room.unread.remove(target);
  target.counts = false;
  room.events.set(id, target);
  if (target.thread !== MAIN && !target.inherits) room.threads.remove(target.thread, target);
  return moveToMain(room, target);
}

/** F11. Moves an event, and what inherits its thread, to `main`. Returns those that were in another thread, or unsettled. */
function moveToMain(room: Room, target: EventInfo): EventInfo[] {
  const moved: EventInfo[] = [];
  const stack = [target];
  for (let info = stack.pop(); info !== undefined; info = stack.pop()) {
    const unsettled = room.unsettled.get(info.id);
    if (unsettled !== undefined) moved.push(settle(room, unsettled, MAIN));
    else if (info.thread === MAIN) continue;
    else moved.push(leaveThread(room, info));
    for (const [, id] of room.relations.range(info.id)) {
      const child = room.events.get(id);
      if (child?.inherits && (!child.settled || child.thread !== MAIN)) stack.push(child);
    }
  }
  return moved;
}

function leaveThread(room: Room, info: EventInfo): EventInfo {
  const { thread, sender } = info;
  if (info.counts) room.unread.move(info, MAIN);
  if (info.order > 0) room.sent.remove(info);
  info.movedFrom = thread;
  info.thread = MAIN;
  room.events.set(info.id, info);
  if (info.order < 0) return info;
  room.sent.add(info);
  room.markers.touch(sender, thread);
  room.markers.touch(sender, MAIN);
  return info;
}

/** F10. It leaves alone what was set behind its place, but says what the state was before that. */
function foldStateEntry(room: Room, position: Position, [, event, asOf]: StateEntry): void {
  if (event.state_key === undefined) return;
  const since = includedBy(room, asOf);
  const place = since + HALF_AN_ORDER;
  const isOlder = currentPlace(room, stateKey(event.type, event.state_key)) > place;
  noteState(room, event, place, { position, entry: event.event_id });
  if (!isOlder) foldState(room, event, { position, order: 0, since });
}

/** The order of the newest event that a `state` entry includes. `as_of` 0: it was read before the first live event. */
function includedBy({ orders, base, firstLive }: Room, asOf: Order | undefined): Order {
  const newest = orders.greatest || base;
  if (asOf === undefined) return newest;
  return asOf > 0 ? Math.min(asOf, newest) : firstLive > 0 ? firstLive - 1 : newest;
}

/** Where the event that is current now stands among a key's changes. */
function currentPlace({ state, stateChanges }: Room, key: string): Order {
  const current = state.get(key);
  if (current !== undefined && current.order > 0) return current.order;
  for (const [order, { position }] of stateChanges.downFrom(key, Number.POSITIVE_INFINITY)) {
    if (position === current?.position) return order;
  }
  return Number.NEGATIVE_INFINITY;
}

/** What the state was from this order on, for those who may see only a part of the history (`visibility.ts`). */
function noteState(
  room: Room,
  { type, state_key: name = "", content, unsigned }: MatrixEvent,
  order: Order,
  { position, entry }: Pick<StateChange, "position" | "entry">,
): void {
  const key = stateKey(type, name);
  const prev = unsigned?.prev_content;
  const value = shownValue(type, key, content);
  const before = typeof prev === "object" && prev !== null ? shownValue(type, key, prev) : undefined;
  room.stateChanges.add(key, order, {
    position,
    ...(value !== undefined && { value }),
    ...(before !== undefined && { before }),
    ...(entry !== undefined && { entry }),
  });
}

function shownValue(type: string, key: string, content: object): string | undefined {
  if (type === "m.room.member") {
    const { membership } = content as { readonly membership?: unknown };
    return typeof membership === "string" ? membership : undefined;
  }
  if (key !== HISTORY_VISIBILITY_KEY) return undefined;
  return understoodVisibility((content as { readonly history_visibility?: unknown }).history_visibility);
}

interface SetState extends StateEvent {
  /** The order of the event or, for a `state` entry, that of the newest event that it includes. */
  readonly since: Order;
}

/** F10. Membership, server ACL and where the current state is, as of this entry. */
function foldState(room: Room, event: MatrixEvent, { position, order, since }: SetState): void {
  if (event.state_key === undefined) return;
  const key = stateKey(event.type, event.state_key);
  const setAt = room.state.get(key)?.order ?? 0;
  room.state.set(key, { position, order });
  room.stateBodies.set(key, { position, event });
  if (event.type === "m.room.server_acl" && event.state_key === "") {
    room.acl = event.content;
  } else if (event.type === "m.room.member" && typeof event.content.membership === "string") {
    const member = userId.safeParse(event.state_key);
    if (!member.success) return;
    const { membership } = event.content;
    room.membershipKnown = true;
    const before = room.members.get(member.data);
    if (before?.membership !== membership) {
      room.members.set(member.data, { membership, position, ...stayAfter(before, membership, since) });
      room.joined.move(member.data, before?.membership, membership);
      countPresent(room, before?.membership, membership);
    }
    // F12. A new display name begins no stay.
    const left = setAt > 0 ? before?.membership : (membershipBefore(event) ?? before?.membership);
    if (membership === "join" && left !== "join" && order > 0) setJoin(room, member.data, order);
  }
}

function countPresent({ present }: Room, before: string | undefined, membership: string): void {
  if (before === "join" || before === "invite") present[before]--;
  if (membership === "join" || membership === "invite") present[membership]++;
}

/** The current or last stay of a user whose membership changes at this order. */
function stayAfter(before: Member | undefined, membership: string, order: Order): Pick<Member, "joined" | "left"> {
  if (membership === "join") return { joined: order, left: 0 };
  const { joined = 0, left = 0 } = before ?? {};
  return { joined, left: before?.membership === "join" ? order : left };
}

/** What a member event says of the membership before it. */
function membershipBefore({ unsigned }: MatrixEvent): unknown {
  return (unsigned?.prev_content as { readonly membership?: unknown } | null | undefined)?.membership;
}

/** F12. A member event of the history began the user's stay, if no later one did. */
function foldHistoricalJoin(room: Room, event: MatrixEvent, order: Order): void {
  if (event.type !== "m.room.member" || event.content.membership !== "join") return;
  const member = userId.safeParse(event.state_key);
  if (!member.success || membershipBefore(event) === "join" || order <= room.joinedAt(member.data)) return;
  setJoin(room, member.data, order);
}

function setJoin(room: Room, user: UserId, order: Order): void {
  room.joins.set(user, order);
  room.markers.touch(user, null);
}

/**
 * F5, F6. Held receipts on these events that can be judged now, as if they had come just after this entry: the event that came,
 * then those that were settled with it.
 */
function release(room: Room, position: Position, events: readonly EventInfo[]): readonly JudgedReceipt[] {
  if (room.held.size === 0) return NO_RECEIPTS;
  return events.flatMap((event) => releaseOn(room, position, event));
}

/** Each event once, without `info`. Whoever folds the same log, from whatever checkpoint, gets the same sequence. */
function inLogOrder(events: readonly EventInfo[], info: EventInfo): readonly EventInfo[] {
  if (events.length === 0) return events;
  const others = new Map(events.map((event) => [event.id, event]));
  others.delete(info.id);
  return [...others.values()].sort((a, b) => a.position - b.position);
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

/** F6. A receipt of unknown thread can't be judged while its event isn't settled. */
function waitsForThread(receipt: ReceiptEntry, info: EventInfo): boolean {
  return receipt[4] === UNKNOWN_THREAD && !info.settled;
}

function foldReceipt(room: Room, position: Position, receipt: ReceiptEntry): Outcome {
  const info = room.events.get(receipt[3]);
  if (info !== undefined && !waitsForThread(receipt, info)) return judge(room, position, receipt, info);

  // F9 comes again when the receipt is judged; a denied server doesn't get to fill the room's held receipts until then.
  if (aclDenies(room, receipt[6])) return ACL_DENIED;
  const dropped = room.held.hold(position, receipt); // F4
  if (info !== undefined) room.unsettled.limit(room.unsettled.get(info.id)!, room.liveEvents);
  return dropped === undefined ? HELD : { outcome: "held", overflow: { held: dropped, judgement: HELD_OVERFLOW } };
}

function judge(room: Room, position: Position, receipt: ReceiptEntry, info: EventInfo): Judgement {
  const [, user, type, , thread, ts, origin, accepted = false] = receipt;
  if (origin !== null) {
    if (aclDenies(room, origin)) return ACL_DENIED; // F9
    if (room.membershipKnown && room.members.get(user)?.membership !== "join") return NOT_JOINED; // F9
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
  const covering = own.covering(type, thread, order);
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
