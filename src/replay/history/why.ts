/**
 * Explains why an event is read or unread for a user at a position of the log, as data. `why-text.ts` writes the
 * sentences.
 *
 *     not in the log yet ──▶ unknown          negative order ──▶ read          sent by the user ──▶ read
 *     from before the user's current stay ──▶ read
 *     a marker of the user that covers its thread has reached its order ──▶ read, otherwise ──▶ unread       (F12)
 *
 * Beside the verdict there are facts, such as a receipt that had no effect, and the entries that led to the verdict.
 */
import type { Position } from "../../../actors/entry.ts";
import { countsAsRead } from "../../matrix/receipt-types.ts";
import type { RoomHistory } from "./room-history.ts";
import type { Step } from "./step.ts";
import {
  type EventTrack,
  type HeldTrack,
  isOpenAt,
  type MarkerTrack,
  type Move,
  placeAt,
  type Stay,
  threadAt,
} from "./tracks.ts";

export interface WhyQuestion {
  readonly user: string;
  readonly event: string;
  readonly position: Position;
}

export type Verdict =
  | { readonly kind: "unknown" }
  | { readonly kind: "negative order"; readonly event: EventTrack }
  | { readonly kind: "own event" }
  | { readonly kind: "before the stay"; readonly event: EventTrack; readonly stay: Stay }
  /** `first`: the move with which the marker covered the event. */
  | { readonly kind: "covered"; readonly event: EventTrack; readonly marker: MarkerTrack; readonly first: Move }
  /** The user's markers that cover the thread are all before the event. */
  | ({ readonly kind: "not reached" } & EventNow)
  | ({ readonly kind: "no marker" } & EventNow);

/** An event of the question, and its thread at the position of the question. */
interface EventNow {
  readonly event: EventTrack;
  readonly thread: string;
}

/** A marker, and its place at the position of the question. */
interface MarkerNow {
  readonly marker: MarkerTrack;
  readonly now: Move;
}

type ThreadedMarker = MarkerTrack & { readonly thread: string };

export type Fact =
  | { readonly kind: "comes later"; readonly position: Position }
  | { readonly kind: "redacted"; readonly position: Position }
  /** The user was erased: no receipt from before counts (F14). */
  | { readonly kind: "erased"; readonly position: Position }
  /** The type of the event never counts as unread (F13). */
  | { readonly kind: "not counted" }
  /** The user is not joined, so nothing counts as unread (F13). */
  | { readonly kind: "not joined" }
  /** The user has sent a newer event in its thread, so it does not count as unread (F13). */
  | { readonly kind: "sent after"; readonly own: EventTrack }
  /** The marker that covers the event has moved on. */
  | { readonly kind: "moved on"; readonly now: Move }
  | ({ readonly kind: "marker before"; readonly event: EventTrack } & MarkerNow)
  /** The marker is at or after the event, but its receipt type reads nothing (F12). */
  | ({ readonly kind: "reads nothing" } & MarkerNow)
  | ({ readonly kind: "other thread"; readonly marker: ThreadedMarker; readonly now: Move } & EventNow)
  /** A held receipt on the event of the question. */
  | { readonly kind: "waits"; readonly held: HeldTrack }
  /** A held receipt on another event. */
  | { readonly kind: "held"; readonly held: HeldTrack }
  | { readonly kind: "judged in vain"; readonly held: HeldTrack; readonly ended: NonNullable<HeldTrack["ended"]> }
  | { readonly kind: "stale" | "rejected"; readonly step: Step };

/** An entry of the log that led to the verdict. `before`: the place that the marker had until then. */
export type Cause = { readonly position: Position; readonly at: number } & (
  | ({ readonly kind: "sent" } & EventNow)
  | { readonly kind: "moved"; readonly marker: MarkerTrack; readonly move: Move; readonly before: Move | undefined }
  | { readonly kind: "released"; readonly marker: MarkerTrack; readonly move: Move; readonly before: Move | undefined }
  | { readonly kind: "was held"; readonly marker: MarkerTrack; readonly move: Move }
  | { readonly kind: "held"; readonly held: HeldTrack }
  | { readonly kind: "no effect"; readonly step: Step }
);

export interface Explanation {
  readonly verdict: Verdict;
  readonly facts: readonly Fact[];
  /** In log order. */
  readonly causes: readonly Cause[];
}

/** The maximum number of receipts without effect in an explanation. The newest ones are named. */
const NO_EFFECT_MAX = 8;

export function explain(history: RoomHistory, question: WhyQuestion): Explanation {
  const { user, position } = question;
  const event = history.eventAt(question.event, position);
  if (event === undefined) return explainUnknown(history, question);

  const thread = threadAt(event, position);
  const now = { event, thread };
  const sent: Cause = { kind: "sent", position: event.position, at: event.at, ...now };
  const counted = factsOfCounting(event, position);
  if (event.order < 0) return { verdict: { kind: "negative order", event }, facts: counted, causes: [sent] };
  if (event.user === user) return { verdict: { kind: "own event" }, facts: counted, causes: [sent] };
  const stay = history.stay(user, position);
  if (stay !== undefined && event.order < stay.order) {
    return { verdict: { kind: "before the stay", event, stay }, facts: counted, causes: [sent] };
  }

  const applicable = [...history.markersOf(user)].filter(
    ({ type, thread: named }) => countsAsRead(type) && (named === null || named === thread),
  );
  const covering = coveringMarker(applicable, event, position);
  if (covering !== undefined) {
    const { marker, first, now: place } = covering;
    return {
      verdict: { kind: "covered", event, marker, first },
      facts: place === first ? counted : [...counted, { kind: "moved on", now: place }],
      causes: inLogOrder([sent, ...causesOfMove(history, marker, first)]),
    };
  }
  const before = markersAt(applicable, position);
  const withoutEffect = receiptsWithoutEffect(history, question, event);
  return {
    verdict: { kind: before.length > 0 ? "not reached" : "no marker", ...now },
    facts: [
      ...(counted.length > 0 ? counted : factsOfReader(history, question, now)),
      ...factsOfErasure(history, question),
      ...before.map((each): Fact => ({ kind: "marker before", event, ...each })),
      ...nearMisses(history, question, now),
      ...heldReceipts(history, question, event),
      ...withoutEffect.map((step): Fact => ({ kind: step.outcome === "stale" ? "stale" : "rejected", step })),
    ],
    causes: inLogOrder([
      sent,
      ...before.flatMap(({ marker, now }) => causesOfMove(history, marker, now)),
      ...withoutEffect.map((step): Cause => ({ kind: "no effect", position: step.position, at: step.at, step })),
    ]),
  };
}

function inLogOrder(causes: readonly Cause[]): Cause[] {
  return causes.toSorted((a, b) => a.position - b.position);
}

function explainUnknown(history: RoomHistory, { user, event: id, position }: WhyQuestion): Explanation {
  const later = history.events.get(id);
  const waiting = history.held.filter((held) => held.event === id && held.user === user && isOpenAt(held, position));
  return {
    verdict: { kind: "unknown" },
    facts: [
      ...(later === undefined ? [] : [{ kind: "comes later", position: later.position } as const]),
      ...waiting.map((held): Fact => ({ kind: "waits", held })),
    ],
    causes: waiting.map((held): Cause => ({ kind: "held", position: held.position, at: held.at, held })),
  };
}

/** F13. Whether the event counts as unread for anybody: often the question is about a count. */
function factsOfCounting(event: EventTrack, position: Position): Fact[] {
  const { redactedAt } = event;
  if (redactedAt !== undefined && redactedAt <= position) return [{ kind: "redacted", position: redactedAt }];
  return event.counts || event.order < 0 ? [] : [{ kind: "not counted" }];
}

/** F13. Why an unread event does not count as unread for this user. */
function factsOfReader(history: RoomHistory, { user, position }: WhyQuestion, { event, thread }: EventNow): Fact[] {
  if (!history.countsFor(user, position)) return [{ kind: "not joined" }];
  const own = history.newestSent(user, thread, position);
  return own !== undefined && own.order > event.order ? [{ kind: "sent after", own }] : [];
}

function factsOfErasure(history: RoomHistory, { user, position }: WhyQuestion): Fact[] {
  const erasedAt = history.erasedAt(user, position);
  return erasedAt === undefined ? [] : [{ kind: "erased", position: erasedAt }];
}

function markersAt(markers: Iterable<MarkerTrack>, position: Position): MarkerNow[] {
  return [...markers].flatMap((marker) => {
    const now = placeAt(marker, position);
    return now === undefined ? [] : [{ marker, now }];
  });
}

/** Returns the marker that covered the event first, the move with which it did, and its place at the position. */
function coveringMarker(markers: readonly MarkerTrack[], event: EventTrack, position: Position) {
  let earliest: { marker: MarkerTrack; first: Move; now: Move } | undefined;
  for (const { marker, now } of markersAt(markers, position)) {
    if (now.order < event.order) continue;
    const begun = marker.moves.findLastIndex(({ gone, position: at }) => gone === true && at <= position) + 1;
    const first = marker.moves.slice(begun).find(({ order }) => order >= event.order)!;
    const coveredAt = Math.max(first.position, event.position);
    if (earliest === undefined || coveredAt < Math.max(earliest.first.position, event.position)) {
      earliest = { marker, first, now };
    }
  }
  return earliest;
}

/** The entry of the receipt that moved the marker; for a held receipt also the entry of the event that released it. */
function causesOfMove(history: RoomHistory, marker: MarkerTrack, move: Move): Cause[] {
  const before = marker.moves[marker.moves.indexOf(move) - 1];
  const { position, at, receipt } = move;
  if (receipt === position) return [{ kind: "moved", position, at, marker, move, before }];
  const held = history.held.find((each) => each.position === receipt);
  return [
    { kind: "was held", position: receipt, at: held?.at ?? at, marker, move },
    { kind: "released", position, at, marker, move, before },
  ];
}

/** Markers at or after the event that still do not cover it. */
function nearMisses(history: RoomHistory, { user, position }: WhyQuestion, { event, thread }: EventNow): Fact[] {
  return markersAt(history.markersOf(user), position).flatMap(({ marker, now }): Fact[] => {
    if (now.order < event.order) return [];
    if (!countsAsRead(marker.type)) return [{ kind: "reads nothing", marker, now }];
    if (!isThreaded(marker) || marker.thread === thread) return [];
    return [{ kind: "other thread", event, thread, marker, now }];
  });
}

function isThreaded(marker: MarkerTrack): marker is ThreadedMarker {
  return marker.thread !== null;
}

/** Receipts that are held, and those that had no effect when their event came (F5). */
function heldReceipts(history: RoomHistory, { user, position }: WhyQuestion, event: EventTrack): Fact[] {
  return history.held.flatMap((held): Fact[] => {
    if (held.user !== user || held.position > position) return [];
    const { ended } = held;
    if (ended === undefined || isOpenAt(held, position)) return [{ kind: "held", held }];
    const order = history.eventAt(held.event, position)?.order;
    if (ended.outcome === "released" || (order !== undefined && order < event.order)) return [];
    return [{ kind: "judged in vain", held, ended }];
  });
}

/** The user's receipts on this event, or on a later one, that moved no marker. In log order. */
function receiptsWithoutEffect(history: RoomHistory, { user, position }: WhyQuestion, event: EventTrack): Step[] {
  const found: Step[] = [];
  for (let i = history.steps.length - 1; i >= 0 && found.length < NO_EFFECT_MAX; i--) {
    const step = history.steps[i]!;
    if (step.position < event.position) break;
    if (step.position > position || step.kind !== "receipt" || step.user !== user) continue;
    if (step.outcome !== "rejected" && step.outcome !== "stale") continue;
    if (step.event === event.id || (step.order ?? Number.NEGATIVE_INFINITY) >= event.order) found.push(step);
  }
  return found.reverse();
}
