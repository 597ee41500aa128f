/**
 * A step: one entry of the log, its outcome, and what it changed. Steps are plain data, so that the terminal, the
 * inspector and tools (`--json`) show the same.
 *
 * A step is created right after its entry is folded, from the outcome. It has copies of the markers, which move later.
 */
import { BACKFILLED, type Entry, type Order, type Position, RECEIPT, STATE } from "../../../actors/entry.ts";
import type { FoldedEntry, Judgement, Outcome, RejectReason, Settled } from "../../../actors/room/fold.ts";
import type { HeldReceipt } from "../../../actors/room/held.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { EventId } from "../../matrix/ids.ts";
import type { ReceiptType } from "../../matrix/receipt-types.ts";
import { redactedBy, relationOf } from "../../matrix/relations.ts";

export const OUTCOMES = [
  "ordered",
  "duplicate",
  "noted",
  "advanced",
  "stale",
  "held",
  "released",
  "rejected",
] as const satisfies readonly Outcome["outcome"][];
export type OutcomeName = (typeof OUTCOMES)[number];

type StepKind = "event" | "backfill" | "state" | "receipt";

/** The place of a marker: its event, and the order of the event. */
interface Place {
  readonly event: string;
  readonly order: Order;
}

/** The judgement of a receipt. */
export interface Judged {
  readonly outcome: "advanced" | "released" | "stale" | "rejected";
  /** advanced, released: the place of the marker before (null: it is new) and after. */
  readonly from?: Place | null;
  readonly to?: Place;
  /** stale: the place that the marker had already. */
  readonly stands?: Place;
  /** rejected: why. */
  readonly reason?: RejectReason;
  readonly detail?: string;
}

/** A receipt that was held until this step. */
export interface SettledReceipt extends Judged {
  /** The position of the receipt. */
  readonly position: Position;
  readonly user: string;
  readonly type: ReceiptType;
  readonly thread: string | null;
  readonly event: string;
}

export interface Step {
  readonly position: Position;
  /** Unix time in ms, of the record. */
  readonly at: number;
  readonly kind: StepKind;
  /** The event's sender, or the receipt's user. */
  readonly user: string;
  /** The event itself, or the one that the receipt points at. */
  readonly event: string;
  /** Event type, or receipt type. */
  readonly type: string;
  /**
   * The thread of the event (F3). For a receipt, the thread that it names: null for an unthreaded one, `?` for one of
   * unknown thread, which moves a marker of the event's thread.
   */
  readonly thread: string | null;
  readonly outcome: OutcomeName;
  /** The order of the event. For a receipt, the order of its event, if that is known. */
  readonly order?: Order;
  /** For a receipt: the thread of its event, if that is known. */
  readonly eventThread?: string;
  /** The server that a federated receipt came from. */
  readonly origin?: string;
  /** What the event is about, as text: `redacts $x`, `m.thread of $x`, `@a:b is join`. */
  readonly about?: string;
  /** The event that this one redacts, if that is known. */
  readonly redacts?: string;
  /** The redaction of this event came before it (F11). */
  readonly redacted?: true;
  /** A user whose membership this entry set. */
  readonly member?: { readonly user: string; readonly membership: string };
  /** Whether the event counts as unread (F13). */
  readonly counts?: boolean;
  readonly from?: Place | null;
  readonly to?: Place;
  readonly stands?: Place;
  readonly reason?: RejectReason;
  readonly detail?: string;
  /** Held receipts that this event settled (F5). */
  readonly settled?: readonly SettledReceipt[];
  /** The held receipt that was dropped to make room for this one (F4). */
  readonly dropped?: SettledReceipt;
}

/** `room`: its state right after the entry was folded. */
export function stepOf(room: Room, folded: FoldedEntry): Step {
  const { position, at, entry, outcome } = folded;
  if (entry[0] !== RECEIPT) return eventStep(room, folded, entry[1]);
  const [, user, type, event, thread, , origin] = entry;
  const info = room.events.get(event);
  return {
    position,
    at,
    kind: "receipt",
    user,
    event,
    type,
    thread,
    outcome: outcome.outcome,
    ...(info !== undefined && { order: info.order, eventThread: info.thread }),
    ...(origin !== null && { origin }),
    ...(outcome.outcome === "held" &&
      outcome.overflow !== undefined && { dropped: settledReceipt(outcome.overflow, undefined) }),
    ...((outcome.outcome === "advanced" ||
      outcome.outcome === "released" ||
      outcome.outcome === "stale" ||
      outcome.outcome === "rejected") &&
      judged(outcome, event)),
  };
}

function eventStep(room: Room, { position, at, entry, outcome }: FoldedEntry, event: MatrixEvent): Step {
  const [kind] = entry;
  const info = kind === STATE ? undefined : room.events.get(event.event_id);
  const about = aboutOf(event);
  const target = redactedBy(event);
  return {
    position,
    at,
    kind: kind === STATE ? "state" : kind === BACKFILLED ? "backfill" : "event",
    user: event.sender,
    event: event.event_id,
    type: event.type,
    thread: info?.thread ?? null,
    outcome: outcome.outcome,
    ...(info !== undefined && { order: info.order }),
    ...(about !== undefined && { about }),
    ...(outcome.outcome === "ordered" && {
      ...(target !== undefined && room.events.get(target) !== undefined && { redacts: target }),
      ...(info?.counts === true && { counts: true }),
      ...(info?.redaction !== undefined && { redacted: true as const }),
      ...(outcome.settled.length > 0 && {
        settled: outcome.settled.map((settled) => settledReceipt(settled, event.event_id)),
      }),
    }),
    ...memberIn(room, kind, outcome, event),
  };
}

/** F10: live events and state events set membership. The room already has what this one has set. */
function memberIn(room: Room, kind: Entry[0], { outcome }: Outcome, event: MatrixEvent): Pick<Step, "member"> {
  const sets = outcome === "noted" || (outcome === "ordered" && kind !== BACKFILLED);
  if (!sets || event.type !== "m.room.member" || event.state_key === undefined) return {};
  const membership = room.members.get(event.state_key as typeof event.sender);
  return membership === undefined ? {} : { member: { user: event.state_key, membership } };
}

function aboutOf(event: MatrixEvent): string | undefined {
  const target = redactedBy(event);
  if (target !== undefined) return `redacts ${target}`;
  if (event.type === "m.room.member") return `${event.state_key} is ${String(event.content.membership)}`;
  const relation = relationOf(event);
  return relation === undefined ? undefined : `${relation.relType} of ${relation.eventId ?? "no event"}`;
}

/** `event`: the event that released the receipt; undefined if it was dropped before. */
function settledReceipt({ held, judgement }: Settled, event: EventId | undefined): SettledReceipt {
  const { position, receipt } = held satisfies HeldReceipt;
  const [, user, type, target, thread] = receipt;
  return { position, user, type, thread, event: target, ...judged(judgement, event ?? target) };
}

function judged(judgement: Judgement, event: EventId): Judged {
  switch (judgement.outcome) {
    case "rejected": {
      const { outcome, reason, detail } = judgement;
      return { outcome, reason, detail };
    }
    case "stale": {
      const { event: at, order } = judgement.marker;
      return { outcome: "stale", stands: { event: at, order } };
    }
    case "advanced":
    case "released": {
      const { outcome, marker, from, fromEvent } = judgement;
      return {
        outcome,
        from: from === undefined || fromEvent === undefined ? null : { event: fromEvent, order: from },
        to: { event, order: marker.order },
      };
    }
  }
}
