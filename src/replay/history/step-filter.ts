/** Filters of steps. Ids are long, so a prefix of an id is accepted everywhere. */
import type { Position } from "../../../actors/entry.ts";
import type { OutcomeName, Step } from "./step.ts";

export interface StepFilter {
  readonly user?: string;
  /** The event, receipts on it, and redactions and erasures of it. */
  readonly event?: string;
  readonly thread?: string;
  /** The outcome of the entry, or of a held receipt that was judged with it. */
  readonly outcome?: OutcomeName;
  readonly from?: Position;
  readonly fromTime?: number;
}

/** Shortened ids end with an ellipsis, which is ignored here. */
export function hasPrefix(text: string | null | undefined, prefix: string): boolean {
  return typeof text === "string" && text.startsWith(prefix.endsWith("…") ? prefix.slice(0, -1) : prefix);
}

export function matches(filter: StepFilter, step: Step): boolean {
  const { user, event, thread, outcome } = filter;
  if (filter.from !== undefined && step.position < filter.from) return false;
  if (filter.fromTime !== undefined && step.at < filter.fromTime) return false;
  const judged = step.dropped === undefined ? (step.judged ?? []) : [step.dropped];
  if (user !== undefined && !hasPrefix(step.user, user) && !judged.some((receipt) => hasPrefix(receipt.user, user))) {
    return false;
  }
  if (event !== undefined && !eventsOf(step).some((id) => hasPrefix(id, event))) return false;
  if (thread !== undefined && !hasPrefix(step.thread, thread) && !hasPrefix(step.eventThread, thread)) return false;
  return outcome === undefined || step.outcome === outcome || judged.some((receipt) => receipt.outcome === outcome);
}

function eventsOf({ event, redacts, erased }: Step): readonly (string | undefined)[] {
  return [event, redacts, ...(erased?.events ?? [])];
}

/**
 * Returns the id that equals the text, or the only one that begins with it. Throws with the candidates if there are
 * several.
 */
export function resolveId(given: string, ids: Iterable<string>, what: string): string | undefined {
  const found: string[] = [];
  for (const id of ids) {
    if (id === given) return id;
    if (hasPrefix(id, given) && found.length < 6) found.push(id);
  }
  if (found.length > 1) throw new Error(`several ${what}s begin with ${given}: ${found.join(", ")}`);
  return found[0];
}
