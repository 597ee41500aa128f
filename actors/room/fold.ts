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
import { type EventId, type ServerName, type ThreadId, userId } from "../../src/matrix/ids.ts";
import { countsAsUnread, redactedBy, relationOf, threadRootOf } from "../../src/matrix/relations.ts";
import {
  BACKFILLED,
  type Entry,
  type EventInfo,
  type LogRecord,
  type Order,
  type Position,
  positionOf,
  RECEIPT,
  type ReceiptEntry,
  STATE,
  UNKNOWN_THREAD,
} from "../entry.ts";
import { ALL } from "./event-orders.ts";
import type { HeldReceipt } from "./held.ts";
import { coveringMarker, inferredMarker, knownThreadMarker, type Marker, type Markers, moveMarker } from "./markers.ts";
import { type Room, stateKey } from "./room.ts";

/** Raise it whenever the same log would fold to another state: existing checkpoints are then rebuilt. */
export const FOLD_VERSION = 1;

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

/** What became of a held receipt, at last. */
export interface Settled {
  readonly held: HeldReceipt;
  readonly judgement: Judgement;
}

export type Outcome =
  | { readonly outcome: "ordered"; readonly order: Order; readonly settled: readonly Settled[] }
  | { readonly outcome: "duplicate"; readonly order: Order }
  | { readonly outcome: "noted" }
  | { readonly outcome: "held"; readonly overflow: Settled | undefined }
  | Judgement;

const NOTED: Outcome = { outcome: "noted" };
const HELD: Outcome = { outcome: "held", overflow: undefined };
const NONE_SETTLED: readonly Settled[] = [];

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

/** Called once per entry, after it is folded, in log order; the room is as the entry left it. */
export type Folded = (room: Room, folded: FoldedEntry) => void;

/** Folds a record into its room, entry by entry. */
export function foldRecord(room: Room, { sequence, at, entries }: LogRecord, folded: Folded): void {
  let position = positionOf(sequence, 0);
  for (const entry of entries) {
    folded(room, { position, at, entry, outcome: fold(room, position, entry) });
    position++;
  }
}

/** Folds one entry into its room. */
export function fold(room: Room, position: Position, entry: Entry): Outcome {
  room.position = position;
  if (entry[0] === RECEIPT) return foldReceipt(room, position, entry);
  const [kind, event] = entry;
  if (kind === STATE) {
    foldState(room, position, event);
    return NOTED;
  }
  return foldEvent(room, position, event, kind === BACKFILLED);
}

function foldEvent(room: Room, position: Position, event: MatrixEvent, backfilled: boolean): Outcome {
  const known = room.events.get(event.event_id);
  if (known !== undefined) return { outcome: "duplicate", order: known.order }; // F2

  const order = backfilled ? -position : position; // F1
  const info: EventInfo = {
    id: event.event_id,
    order,
    thread: threadOf(room, event),
    sender: event.sender,
    counts: !backfilled && countsAsUnread(event),
  };
  const redaction = room.redactionsAhead ? room.redactions.get(event.event_id) : undefined; // F11
  if (redaction !== undefined) {
    info.redaction = redaction;
    info.counts = false;
  }
  room.events.set(event.event_id, info);
  room.orders.add(order, ALL);
  const target = relationOf(event)?.eventId;
  if (target !== undefined) room.orders.add(order, target);
  if (!backfilled) {
    if (info.counts) room.unread.add(info);
    room.append(position);
    foldState(room, position, event);
  }
  redact(room, event);
  return { outcome: "ordered", order, settled: settle(room, position, event.event_id, info) };
}

/** F3. The thread that an event belongs to, from what it says and what is known when it is folded. */
function threadOf(room: Room, event: MatrixEvent): ThreadId {
  const root = threadRootOf(event);
  if (root !== undefined) return root;
  return (infoOf(room, relationOf(event)?.eventId) ?? infoOf(room, redactedBy(event)))?.thread ?? MAIN;
}

function infoOf(room: Room, id: EventId | undefined): EventInfo | undefined {
  return id === undefined ? undefined : room.events.get(id);
}

/** F11. The target keeps its order, thread and markers. One that is not known yet is redacted when it comes. */
function redact(room: Room, redaction: MatrixEvent): void {
  const id = redactedBy(redaction);
  if (id === undefined) return;
  const target = room.events.get(id);
  if (target === undefined) {
    if (room.redactions.get(id) === undefined) room.redactions.set(id, redaction.event_id);
    room.redactionsAhead = true;
    return;
  }
  if (target.redaction !== undefined) return;
  target.redaction = redaction.event_id;
  if (target.counts) room.unread.remove(target);
  target.counts = false;
  room.events.set(id, target);
}

/** F10. Membership, server ACL and where the current state is, as of this entry. */
function foldState(room: Room, position: Position, event: MatrixEvent): void {
  if (event.state_key === undefined) return;
  room.state.set(stateKey(event.type, event.state_key), position);
  if (event.type === "m.room.server_acl" && event.state_key === "") {
    room.acl = event.content;
  } else if (event.type === "m.room.member" && typeof event.content.membership === "string") {
    const member = userId.safeParse(event.state_key);
    if (!member.success) return;
    const { membership } = event.content;
    // A change of a display name is none.
    if (room.members.get(member.data) !== membership) room.members.set(member.data, membership);
    room.membershipKnown = true;
  }
}

/** F5. What waited for this event is judged as if it had come just after it. */
function settle(room: Room, position: Position, id: EventId, info: EventInfo): readonly Settled[] {
  const waiting = room.held.release(id);
  if (waiting.length === 0) return NONE_SETTLED;
  return waiting.map((held) => {
    const judgement = judge(room, position, held.receipt, info);
    return { held, judgement: judgement.outcome === "advanced" ? { ...judgement, outcome: "released" } : judgement };
  });
}

function foldReceipt(room: Room, position: Position, receipt: ReceiptEntry): Outcome {
  const info = room.events.get(receipt[3]);
  if (info !== undefined) return judge(room, position, receipt, info);

  // F9 comes again when the event does; a denied server doesn't get to fill the room's held receipts until then.
  if (aclDenies(room, receipt[6])) return ACL_DENIED;
  const dropped = room.held.hold(position, receipt); // F4
  return dropped === undefined ? HELD : { outcome: "held", overflow: { held: dropped, judgement: HELD_OVERFLOW } };
}

function judge(room: Room, position: Position, receipt: ReceiptEntry, info: EventInfo): Judgement {
  const [, user, type, , thread, ts, origin] = receipt;
  if (origin !== null) {
    if (aclDenies(room, origin)) return ACL_DENIED; // F9
    if (room.membershipKnown && room.members.get(user) !== "join") return NOT_JOINED; // F9
  }
  if (thread === UNKNOWN_THREAD) return judgeUnknownThread(room, position, receipt, info);
  if (thread !== null && thread !== info.thread) return WRONG_THREAD; // F6

  const own = room.markers.of(user);
  const standing = knownThreadMarker(own, type, thread);
  if (standing !== undefined && info.order <= standing.order) return { outcome: "stale", marker: standing }; // F7
  const { id: event, order } = info;
  return advance(room.markers, own, { standing, to: { user, type, thread, event, order, ts, position } });
}

/** A receipt of unknown thread, judged as one in the thread of its event. */
function judgeUnknownThread(room: Room, position: Position, receipt: ReceiptEntry, info: EventInfo): Judgement {
  const [, user, type, , , ts] = receipt;
  const own = room.markers.of(user);
  const covering = coveringMarker(own, type, info);
  if (covering !== undefined) return { outcome: "stale", marker: covering };
  const { id: event, thread, order } = info;
  const standing = inferredMarker(own, type, thread);
  return advance(room.markers, own, {
    standing,
    to: { user, type, thread, event, order, ts, position, inferred: true },
  });
}

/** Moves the marker that stands among a user's own, or sets a new one. */
function advance(
  markers: Markers,
  own: readonly Marker[],
  { standing, to }: { readonly standing: Marker | undefined; readonly to: Marker },
): Moved {
  if (standing === undefined) {
    markers.put(own, to);
    return { outcome: "advanced", marker: to, from: undefined, fromEvent: undefined };
  }
  const { order: from, event: fromEvent } = standing;
  moveMarker(standing, to);
  markers.put(own, standing);
  return { outcome: "advanced", marker: standing, from, fromEvent };
}

function aclDenies(room: Room, origin: ServerName | null): boolean {
  return origin !== null && !room.allows(origin);
}

/** F12. Whether the user has read the event; null when the event is not known. */
export function isRead(room: Room, user: Marker["user"], event: EventId): boolean | null {
  const info = room.events.get(event);
  if (info === undefined) return null;
  return info.order < 0 || info.sender === user || room.markers.cover(user, info.thread, info.order);
}
