/**
 * A step: one entry of the log, what the fold did with it, and what that changed. Plain data, so that the terminal, the
 * inspector's page and tools (`--json`) show the same.
 *
 * Everything in it is taken from the fold's own outcome, right after the entry was folded: markers are values here, not
 * the live ones, which move on.
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

/** Where a marker stands: its event, with the event's own order. */
interface Place {
  readonly event: string;
  readonly order: Order;
}

/** What became of a receipt. */
export interface Judged {
  readonly outcome: "advanced" | "released" | "stale" | "rejected";
  /** advanced, released: where the marker stood before (null: nowhere) and stands now. */
  readonly from?: Place | null;
  readonly to?: Place;
  /** stale: where the marker stood already. */
  readonly stands?: Place;
  /** rejected */
  readonly reason?: RejectReason;
  readonly detail?: string;
}

/** A receipt that was held until this step. */
export interface SettledReceipt extends Judged {
  /** Of the receipt itself. */
  readonly position: Position;
  readonly user: string;
  readonly type: ReceiptType;
  readonly thread: string | null;
  readonly event: string;
}

export interface Step {
  readonly position: Position;
  /** The record's clock, ms since 1970. */
  readonly at: number;
  readonly kind: StepKind;
  /** The event's sender, or the receipt's user. */
  readonly user: string;
  /** The event itself, or the one that the receipt points at. */
  readonly event: string;
  /** Event type, or receipt type. */
  readonly type: string;
  /**
   * Of an event: the thread it was settled in (F3). Of a receipt: the one it names, null when unthreaded, `?` when its
   * source does not tell: then its marker is one of the event's thread.
   */
  readonly thread: string | null;
  readonly outcome: OutcomeName;
  /** Of the event, or of the event that the receipt points at, when it is known. */
  readonly order?: Order;
  /** Of the receipt's event, when it is known: its own thread. */
  readonly eventThread?: string;
  /** The server that a federated receipt came from. */
  readonly origin?: string;
  /** What an event relates to, for a person: `redacts $x`, `m.thread of $x`, `@a:b is join`. */
  readonly about?: string;
  /** The event that this one redacts, when it is known. */
  readonly redacts?: string;
  /** The event was redacted before it came (F11). */
  readonly redacted?: true;
  /** A user whose membership this entry set. */
  readonly member?: { readonly user: string; readonly membership: string };
  /** F13: an event that can make the room unread. */
  readonly counts?: boolean;
  readonly from?: Place | null;
  readonly to?: Place;
  readonly stands?: Place;
  readonly reason?: RejectReason;
  readonly detail?: string;
  /** Held receipts that this event settled (F5). */
  readonly settled?: readonly SettledReceipt[];
  /** The held receipt that had to go for this one (F4). */
  readonly dropped?: SettledReceipt;
}

/** `room` as it is right after the entry was folded. */
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

/** F10: live events and state set membership, and what the fold took from this one is what the room has now. */
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

/** `event`: what released it; undefined when it never came. */
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
