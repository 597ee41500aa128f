/**
 * Why an event is read or unread for a user at a point of the log, in words: by which rule (F12), which marker decides,
 * which entries led there, and which receipts did not help, and why.
 */
import type { Position } from "../../../actors/entry.ts";
import { countsAsRead } from "../../matrix/receipt-types.ts";
import type { RoomHistory } from "./room-history.ts";
import type { Step } from "./step.ts";
import { type EventTrack, type HeldTrack, isOpenAt, type MarkerTrack, type Move, placeAt } from "./tracks.ts";

export interface Why {
  readonly verdict: "read" | "unread" | "unknown";
  /** One sentence. */
  readonly answer: string;
  /** Further sentences: what decided, and what did not help. */
  readonly because: readonly string[];
  /** The entries that led there, in log order. */
  readonly entries: readonly { readonly position: Position; readonly at: number; readonly text: string }[];
}

export interface WhyQuestion {
  readonly user: string;
  readonly event: string;
  readonly position: Position;
}

/** Receipts without effect that are told at most, the newest. */
const INEFFECTIVE_MAX = 8;

export function why(history: RoomHistory, question: WhyQuestion): Why {
  const { user, position } = question;
  const event = history.eventAt(question.event, position);
  if (event === undefined) return unknownEvent(history, question);

  const because: string[] = [];
  const entries: Why["entries"][number][] = [
    {
      position: event.position,
      at: event.at,
      text: `${event.user} sends ${event.id}: order ${event.order}, ${threadName(event.thread)}`,
    },
  ];
  notCounted(event, position, because);
  const conclude = (verdict: "read" | "unread", answer: string): Why => ({
    verdict,
    answer,
    because,
    entries: entries.sort((a, b) => a.position - b.position),
  });

  if (event.order < 0)
    return conclude("read", `Read: its order ${event.order} is negative, and such an event is always read (F12).`);
  if (event.user === user) return conclude("read", `Read: ${user} sent it (F12).`);

  const applying = [...history.markersOf(user)].filter(
    ({ type, thread }) => countsAsRead(type) && (thread === null || thread === event.thread),
  );
  const covering = coveringMarker(applying, event, position);
  if (covering !== undefined) {
    const { marker, first, now } = covering;
    entries.push(...moveEntries(history, marker, first));
    if (now !== first) {
      because.push(`That marker stands at ${now.event} by now, order ${now.order}, since position ${now.position}.`);
    }
    return conclude(
      "read",
      `Read: ${markerName(marker)} came to ${first.event === event.id ? "it" : `${first.event}, order ${first.order}`} at position ${first.position}, and ${first.order} ≥ ${event.order} (F12).`,
    );
  }

  for (const marker of applying) {
    const now = placeAt(marker, position);
    if (now === undefined) continue;
    because.push(`${capital(markerName(marker))} stands at ${now.event}, order ${now.order} < ${event.order}.`);
    entries.push(...moveEntries(history, marker, now));
  }
  const stands = because.some((line) => line.includes("stands at"));
  nearMisses(history, question, event, because);
  heldReceipts(history, question, event, because);
  ineffective(history, question, event, because, entries);
  return conclude(
    "unread",
    stands
      ? `Unread: no marker of ${user} that covers ${threadName(event.thread)} has reached its order ${event.order} (F12).`
      : `Unread: ${user} has no marker that covers ${threadName(event.thread)} (F12).`,
  );
}

function unknownEvent(history: RoomHistory, { user, event: id, position }: WhyQuestion): Why {
  const because: string[] = [];
  const entries: Why["entries"][number][] = [];
  const later = history.events.get(id);
  if (later !== undefined) because.push(`It comes at position ${later.position}, after this point.`);
  for (const held of history.held) {
    if (held.event !== id || held.user !== user || !isOpenAt(held, position)) continue;
    because.push(`${heldName(held)} waits for it, and is judged when it comes (F4, F5).`);
    entries.push({ position: held.position, at: held.at, text: `${heldName(held)}: held` });
  }
  return {
    verdict: "unknown",
    answer: "Neither read nor unread: the log has no such event at this point.",
    because,
    entries,
  };
}

/** F13, for those who ask because of a count. */
function notCounted(event: EventTrack, position: Position, because: string[]): void {
  if ((event.redactedAt ?? Number.POSITIVE_INFINITY) <= position) {
    because.push(`It was redacted at position ${event.redactedAt}: it counts as unread nowhere (F11).`);
  } else if (!event.counts && event.order >= 0) {
    because.push("It is an edit, a reaction, a redaction or state: it counts as unread nowhere (F13).");
  }
}

/** The marker that covered the event first, when it did, and where it stands now. */
function coveringMarker(markers: readonly MarkerTrack[], event: EventTrack, position: Position) {
  let earliest: { marker: MarkerTrack; first: Move; now: Move } | undefined;
  for (const marker of markers) {
    const now = placeAt(marker, position);
    if (now === undefined || now.order < event.order) continue;
    const first = marker.moves.find(({ order, gone }) => order >= event.order && !gone)!;
    const covers = Math.max(first.position, event.position);
    if (earliest === undefined || covers < Math.max(earliest.first.position, event.position)) {
      earliest = { marker, first, now };
    }
  }
  return earliest;
}

function moveEntries(history: RoomHistory, marker: MarkerTrack, move: Move): Why["entries"][number][] {
  const before = marker.moves[marker.moves.indexOf(move) - 1];
  const moved = `${markerName(marker)} ${before === undefined || before.gone ? "begins at" : `moves from ${before.order} to`} ${move.order} (${move.event})`;
  if (move.receipt === move.position)
    return [{ position: move.position, at: move.at, text: `${marker.user}'s receipt: ${moved}` }];
  const held = history.held.find(({ position }) => position === move.receipt);
  return [
    {
      position: move.receipt,
      at: held?.at ?? move.at,
      text: `${marker.user}'s receipt on ${move.event}: held, its event is not known yet`,
    },
    { position: move.position, at: move.at, text: `${move.event} comes and releases it: ${moved}` },
  ];
}

/** Markers that look as if they covered the event, and don't. */
function nearMisses(history: RoomHistory, { user, position }: WhyQuestion, event: EventTrack, because: string[]): void {
  for (const marker of history.markersOf(user)) {
    const now = placeAt(marker, position);
    if (now === undefined || now.order < event.order) continue;
    if (!countsAsRead(marker.type)) {
      because.push(
        `${capital(markerName(marker))} stands at order ${now.order}, but ${marker.type} marks nothing as read (F12).`,
      );
    } else if (marker.thread !== null && marker.thread !== event.thread) {
      because.push(
        `${capital(markerName(marker))} stands at order ${now.order}, but it covers only ${threadName(marker.thread)}, and this event is in ${threadName(event.thread)} (F12).`,
      );
    }
  }
}

/** Receipts that wait, and those that were judged in vain when their event came (F5). */
function heldReceipts(
  history: RoomHistory,
  { user, position }: WhyQuestion,
  event: EventTrack,
  because: string[],
): void {
  for (const held of history.held) {
    if (held.user !== user || held.position > position) continue;
    if (isOpenAt(held, position)) {
      because.push(`${heldName(held)} is held: the log has no event ${held.event} (F4).`);
      continue;
    }
    const { outcome, reason, position: at } = held.ended!;
    const order = history.eventAt(held.event, position)?.order;
    if (outcome === "released" || (order !== undefined && order < event.order)) continue;
    because.push(
      `${heldName(held)} was held, and ${reason === undefined ? outcome : `rejected (${reason})`} at position ${at}.`,
    );
  }
}

/** The user's receipts on this event, or on a later one, that changed no marker. */
function ineffective(
  history: RoomHistory,
  { user, position }: WhyQuestion,
  event: EventTrack,
  because: string[],
  entries: Why["entries"][number][],
): void {
  const found: Step[] = [];
  for (let i = history.steps.length - 1; i >= 0 && found.length < INEFFECTIVE_MAX; i--) {
    const step = history.steps[i]!;
    if (step.position < event.position) break;
    if (step.position > position || step.kind !== "receipt" || step.user !== user) continue;
    if (step.outcome !== "rejected" && step.outcome !== "stale") continue;
    if (step.event === event.id || (step.order ?? Number.NEGATIVE_INFINITY) >= event.order) found.push(step);
  }
  for (const step of found.reverse()) {
    const name = `the ${step.type} receipt at position ${step.position} on ${step.event === event.id ? "this event" : step.event}`;
    const text =
      step.outcome === "stale"
        ? `${name} was stale: ${markerName(step)} stood at order ${step.stands!.order} already (F7).`
        : `${name} was rejected (${step.reason}): ${step.detail}.`;
    because.push(capital(text));
    entries.push({ position: step.position, at: step.at, text: `${user}'s receipt: ${step.outcome}` });
  }
}

function markerName({ type, thread }: Pick<Step, "type" | "thread">): string {
  return thread === null ? `the unthreaded ${type} marker` : `the ${type} marker of ${threadName(thread)}`;
}

function threadName(thread: string): string {
  return thread === "main" ? "the main timeline" : `thread ${thread}`;
}

function heldName({ type, position, event }: HeldTrack): string {
  return `The ${type} receipt at position ${position} on ${event}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
