/** Which steps to show. Identifiers may be given by their beginning, as they are long. */
import type { Position } from "../../../actors/entry.ts";
import type { OutcomeName, Step } from "./step.ts";

export interface StepFilter {
  readonly user?: string;
  /** The event itself, and receipts on it. */
  readonly event?: string;
  readonly thread?: string;
  /** Of the entry, or of a held receipt that it settled. */
  readonly outcome?: OutcomeName;
  readonly from?: Position;
  readonly fromTime?: number;
}

/** Text as it is shown may end in an ellipsis. */
function begins(text: string | null | undefined, wanted: string): boolean {
  return typeof text === "string" && text.startsWith(wanted.replace(/…$/u, ""));
}

export function shows(filter: StepFilter, step: Step): boolean {
  const { user, event, thread, outcome } = filter;
  if (filter.from !== undefined && step.position < filter.from) return false;
  if (filter.fromTime !== undefined && step.at < filter.fromTime) return false;
  const settled = step.dropped === undefined ? (step.settled ?? []) : [step.dropped];
  if (user !== undefined && !begins(step.user, user) && !settled.some((receipt) => begins(receipt.user, user))) {
    return false;
  }
  if (event !== undefined && !begins(step.event, event) && !begins(step.redacts, event)) return false;
  if (thread !== undefined && !begins(step.thread, thread) && !begins(step.eventThread, thread)) return false;
  return outcome === undefined || step.outcome === outcome || settled.some((receipt) => receipt.outcome === outcome);
}

/** The one of several ids that is, or begins with, what was given. Throws which ones it could be. */
export function resolveId(given: string, ids: Iterable<string>, what: string): string | undefined {
  const found: string[] = [];
  for (const id of ids) {
    if (id === given) return id;
    if (begins(id, given) && found.length < 6) found.push(id);
  }
  if (found.length > 1) throw new Error(`several ${what}s begin with ${given}: ${found.join(", ")}`);
  return found[0];
}
