/**
 * A step: one entry of the log, its outcome, and what it changed. Steps are plain data, so that the terminal, the
 * inspector and tools (`--json`) show the same.
 *
 * A step is created right after its entry is folded, from the outcome. It has copies of the markers, which move later.
 */
import {
  BACKFILLED,
  ERASURE,
  type ErasureEntry,
  type EventEntry,
  type EventInfo,
  HISTORY,
  LIVE,
  type Order,
  type Position,
  RECEIPT,
  STATE,
} from "../../../actors/entry.ts";
import type { FoldedEntry, JudgedReceipt, Judgement, Outcome, RejectReason } from "../../../actors/room/outcome.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import { type UserId, userId } from "../../matrix/ids.ts";
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
  "erased",
] as const satisfies readonly Outcome["outcome"][];
export type OutcomeName = (typeof OUTCOMES)[number];

type StepKind = "event" | "history" | "backfill" | "state" | "receipt" | "erasure";

const KIND = { [LIVE]: "event", [HISTORY]: "history", [BACKFILLED]: "backfill", [STATE]: "state" } as const;

/** The place of a marker: its event, and the order of the event. */
interface Place {
  readonly event: string;
  readonly order: Order;
}

/** The judgement of a receipt. */
export interface StepJudgement {
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
export interface StepReceipt extends StepJudgement {
  /** The position of the receipt. */
  readonly position: Position;
  readonly user: string;
  readonly type: ReceiptType;
  /** The thread that it names, as in a step. */
  readonly thread: string | null;
  readonly event: string;
  /** The thread of its event, if that is known. */
  readonly eventThread?: string;
}

/** An event that is in another thread, or in its thread for good, from this step on. */
interface ThreadChange {
  readonly event: string;
  readonly thread: string;
}

export interface Step {
  readonly position: Position;
  /** Unix time in ms, of the record. */
  readonly at: number;
  readonly kind: StepKind;
  /** The event's sender, or the user of the receipt or the erasure. */
  readonly user: string;
  /** The event itself, or the one that the receipt points at. Empty for an erasure. */
  readonly event: string;
  /** Event type, or receipt type, or `erasure`. */
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
  /** Other events whose thread this one settled or changed (F3, F11). */
  readonly rethreaded?: readonly ThreadChange[];
  /** A user whose membership this entry set. */
  readonly member?: { readonly user: string; readonly membership: string };
  /** A user whose current stay begins with this event (F12). */
  readonly joined?: string;
  /** Whether the event counts as unread (F13). */
  readonly counts?: boolean;
  readonly from?: Place | null;
  readonly to?: Place;
  readonly stands?: Place;
  readonly reason?: RejectReason;
  readonly detail?: string;
  /** Of an erasure (F14): how many markers and held receipts it took, and the events whose content it took. */
  readonly erased?: { readonly receipts: number; readonly events: readonly string[] };
  /** Held receipts that could be judged when this event came (F5, F6). */
  readonly judged?: readonly StepReceipt[];
  /** The held receipt that was dropped to make room for this one (F4). */
  readonly dropped?: StepReceipt;
}

/** `room`: its state right after the entry was folded. */
export function stepOf(room: Room, folded: FoldedEntry): Step {
  const { position, at, entry, outcome } = folded;
  if (entry[0] === ERASURE) return erasureStep(room, folded, entry);
  if (entry[0] !== RECEIPT) return eventStep(room, folded, entry);
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
      outcome.overflow !== undefined && { dropped: stepReceipt(room, outcome.overflow) }),
    ...((outcome.outcome === "advanced" ||
      outcome.outcome === "released" ||
      outcome.outcome === "stale" ||
      outcome.outcome === "rejected") &&
      stepJudgement(outcome, event)),
  };
}

function erasureStep(room: Room, { position, at, outcome }: FoldedEntry, [, user]: ErasureEntry): Step {
  return {
    position,
    at,
    kind: "erasure",
    user,
    event: "",
    type: "erasure",
    thread: null,
    outcome: outcome.outcome,
    ...(outcome.outcome === "erased" && {
      erased: { receipts: outcome.receipts, events: outcome.events },
      ...changesOf(room, outcome),
    }),
  };
}

function changesOf(
  room: Room,
  { rethreaded, judged }: Pick<Extract<Outcome, { judged: unknown }>, "rethreaded" | "judged">,
): Pick<Step, "rethreaded" | "judged"> {
  return {
    ...(rethreaded.length > 0 && { rethreaded: rethreaded.map(threadChange) }),
    ...(judged.length > 0 && { judged: judged.map((each) => stepReceipt(room, each)) }),
  };
}

function eventStep(room: Room, { position, at, outcome }: FoldedEntry, entry: EventEntry): Step {
  const [kind, event] = entry;
  const info = kind === STATE ? undefined : room.events.get(event.event_id);
  const about = aboutOf(event);
  const target = redactedBy(event);
  return {
    position,
    at,
    kind: KIND[kind],
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
      ...changesOf(room, outcome),
    }),
    ...memberIn(room, { kind, outcome, event, info }),
  };
}

function threadChange({ id, thread }: EventInfo): ThreadChange {
  return { event: id, thread };
}

interface MemberEvent {
  readonly kind: EventEntry[0];
  readonly outcome: Outcome;
  readonly event: MatrixEvent;
  readonly info: EventInfo | undefined;
}

/** F10, F12. What the room has of the member whom the event is about, if the event set it. */
function memberIn(
  room: Room,
  { kind, outcome: { outcome }, event, info }: MemberEvent,
): Pick<Step, "member" | "joined"> {
  if (event.type !== "m.room.member" || (outcome !== "noted" && outcome !== "ordered")) return {};
  const member = userId.safeParse(event.state_key);
  if (!member.success) return {};
  const user: UserId = member.data;
  const membership = room.members.get(user)?.membership;
  return {
    ...((kind === LIVE || kind === STATE) && membership !== undefined && { member: { user, membership } }),
    ...(outcome === "ordered" && info !== undefined && room.joinedAt(user) === info.order && { joined: user }),
  };
}

function aboutOf(event: MatrixEvent): string | undefined {
  const target = redactedBy(event);
  if (target !== undefined) return `redacts ${target}`;
  if (event.type === "m.room.member") return `${event.state_key} is ${String(event.content.membership)}`;
  const relation = relationOf(event);
  return relation === undefined ? undefined : `${relation.relType} of ${relation.eventId ?? "no event"}`;
}

function stepReceipt(room: Room, { held, judgement }: JudgedReceipt): StepReceipt {
  const { position, receipt } = held;
  const [, user, type, event, thread] = receipt;
  const info = room.events.get(event);
  return {
    position,
    user,
    type,
    thread,
    event,
    ...(info !== undefined && { eventThread: info.thread }),
    ...stepJudgement(judgement, event),
  };
}

function stepJudgement(judgement: Judgement, event: string): StepJudgement {
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
