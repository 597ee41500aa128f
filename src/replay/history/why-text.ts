/** Answers "why is this event read or unread?" in sentences. */
import { type Position, UNKNOWN_THREAD } from "../../../actors/entry.ts";
import type { RoomHistory } from "./room-history.ts";
import type { Step } from "./step.ts";
import type { HeldTrack, Move } from "./tracks.ts";
import { type Cause, explain, type Fact, type Verdict, type WhyQuestion } from "./why.ts";

export interface Why {
  readonly verdict: "read" | "unread" | "unknown";
  /** One sentence. */
  readonly answer: string;
  /** Further sentences: what decided, and what had no effect. */
  readonly because: readonly string[];
  /** The entries that led to the verdict, in log order. */
  readonly entries: readonly { readonly position: Position; readonly at: number; readonly text: string }[];
}

export function why(history: RoomHistory, question: WhyQuestion): Why {
  const { verdict, facts, causes } = explain(history, question);
  return {
    verdict: VERDICTS[verdict.kind],
    answer: answerText(verdict, question.user),
    because: facts.map((fact) => factText(fact, question.event)),
    entries: causes.map((cause) => ({ position: cause.position, at: cause.at, text: causeText(cause, question.user) })),
  };
}

const VERDICTS: Readonly<Record<Verdict["kind"], Why["verdict"]>> = {
  unknown: "unknown",
  "negative order": "read",
  "own event": "read",
  "before the stay": "read",
  covered: "read",
  "not reached": "unread",
  "no marker": "unread",
};

function answerText(verdict: Verdict, user: string): string {
  switch (verdict.kind) {
    case "unknown":
      return "Neither read nor unread: the log has no such event at this point.";
    case "negative order":
      return `Read: its order ${verdict.event.order} is negative, and such an event is always read (F12).`;
    case "own event":
      return `Read: ${user} sent it (F12).`;
    case "before the stay":
      return `Read: ${user} joined the room after it, with the event of order ${verdict.stay.order} > ${verdict.event.order} (F12).`;
    case "covered": {
      const { event, marker, first } = verdict;
      const place = first.event === event.id ? "it" : `${first.event}, order ${first.order}`;
      return `Read: ${markerName(marker)} reached ${place} at position ${first.position}, and ${first.order} ≥ ${event.order} (F12).`;
    }
    case "not reached": {
      const { thread, event } = verdict;
      return `Unread: no marker of ${user} that covers ${threadName(thread)} has reached its order ${event.order} (F12).`;
    }
    case "no marker":
      return `Unread: ${user} has no marker that covers ${threadName(verdict.thread)} (F12).`;
  }
}

function factText(fact: Fact, event: string): string {
  switch (fact.kind) {
    case "comes later":
      return `It comes at position ${fact.position}, after this point.`;
    case "redacted":
      return `It was redacted at position ${fact.position}: it never counts as unread (F11).`;
    case "erased":
      return `The user was erased from the room at position ${fact.position}: no receipt from before counts (F14).`;
    case "not counted":
      return "Its type, or that it is an edit or state, means that it never counts as unread (F13).";
    case "not joined":
      return "It does not count as unread: the user is not joined (F13).";
    case "sent after":
      return `It does not count as unread: the user has sent ${fact.own.id}, order ${fact.own.order}, after it in its thread (F13).`;
    case "moved on":
      return `That marker is at ${fact.now.event} by now, order ${fact.now.order}, since position ${fact.now.position}.`;
    case "marker before":
      return `${capital(markerName(fact.marker))} is at ${fact.now.event}, order ${fact.now.order} < ${fact.event.order}.`;
    case "reads nothing":
      return `${capital(markerName(fact.marker))} is at order ${fact.now.order}, but ${fact.marker.type} marks nothing as read (F12).`;
    case "other thread":
      return `${capital(markerName(fact.marker))} is at order ${fact.now.order}, but it covers only ${threadName(fact.marker.thread)}, and this event is in ${threadName(fact.thread)} (F12).`;
    case "waits":
      return `${heldName(fact.held)} waits for it, and is judged when it comes (F4, F5).`;
    case "held":
      return `${heldName(fact.held)} is held: the log has no event ${fact.held.event} (F4).`;
    case "judged in vain": {
      const { outcome, reason, position } = fact.ended;
      return `${heldName(fact.held)} was held, and ${reason === undefined ? outcome : `rejected (${reason})`} at position ${position}.`;
    }
    case "stale": {
      const { order } = fact.step.stands!;
      return `${receiptName(fact.step, event)} was stale: ${staleMarkerName(fact.step)} was at order ${order} already (F7).`;
    }
    case "rejected":
      return `${receiptName(fact.step, event)} was rejected (${fact.step.reason}): ${fact.step.detail}.`;
  }
}

function causeText(cause: Cause, user: string): string {
  switch (cause.kind) {
    case "sent": {
      const { user: sender, id, order } = cause.event;
      return `${sender} sends ${id}: order ${order}, ${threadName(cause.thread)}`;
    }
    case "moved":
      return `${cause.marker.user}'s receipt: ${moveText(cause)}`;
    case "was held":
      return `${cause.marker.user}'s receipt on ${cause.move.event}: held`;
    case "released":
      return `${cause.move.event} is known, and its thread: ${moveText(cause)}`;
    case "held":
      return `${heldName(cause.held)}: held`;
    case "no effect":
      return `${user}'s receipt: ${cause.step.outcome}`;
  }
}

function moveText({ marker, move, before }: Extract<Cause, { kind: "moved" | "released" }>): string {
  return `${markerName(marker)} ${startText(before)} ${move.order} (${move.event})`;
}

function startText(before: Move | undefined): string {
  return before === undefined || before.gone ? "begins at" : `moves from ${before.order} to`;
}

function markerName({ type, thread }: Pick<Step, "type" | "thread">): string {
  return thread === null ? `the unthreaded ${type} marker` : `the ${type} marker of ${threadName(thread)}`;
}

/** A receipt of unknown thread may be stale because of any marker that covers its event. */
function staleMarkerName({ type, thread }: Step): string {
  return thread === UNKNOWN_THREAD ? `an ${type} marker that covers the event` : markerName({ type, thread });
}

function threadName(thread: string): string {
  return thread === "main" ? "the main timeline" : `thread ${thread}`;
}

function heldName({ type, position, event }: HeldTrack): string {
  return `The ${type} receipt at position ${position} on ${event}`;
}

function receiptName(step: Step, event: string): string {
  return `The ${step.type} receipt at position ${step.position} on ${step.event === event ? "this event" : step.event}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
