/** Chooses the deltas that the demo prints while it runs: one of each kind early in the session, and one later. */
import { type Delta, type DeltaKind, receiptsIn } from "./deltas.ts";
import { inThread, localpart, short } from "./words.ts";

/** A delta of each kind is shown after these fractions of the session. */
const ROUNDS: readonly { readonly after: number; readonly kinds: readonly DeltaKind[] }[] = [
  { after: 0.05, kinds: ["events", "receipts", "private"] },
  { after: 0.5, kinds: ["events", "receipts", "private", "rejected"] },
];

export interface Sample {
  readonly subject: string;
  readonly what: string;
}

export class Sampler {
  readonly #wanted = ROUNDS.map(({ after, kinds }) => ({ after, kinds: new Set(kinds) }));

  /** Returns the delta as a line if it should be shown. `progress` is the fraction of the session that was sent. */
  sample(delta: Delta, progress: number): Sample | undefined {
    const round = this.#wanted.findLast(({ after }) => progress >= after);
    const what = round?.kinds.has(delta.type) ? describe(delta) : undefined;
    if (what === undefined) return undefined;
    round?.kinds.delete(delta.type);
    return { subject: delta.subject, what };
  }
}

/** Returns undefined for deltas that are not worth showing. */
function describe(delta: Delta): string | undefined {
  if (delta.type === "events") {
    const event = delta.events.find(({ type }) => type === "m.room.message");
    if (event === undefined) return undefined;
    return `${event.type} ${short(event.event_id)} from ${localpart(event.sender)}, order ${event.unsigned.order}`;
  }
  if (delta.type === "rejected") {
    const { entry, reason } = delta;
    if (entry === null) return undefined;
    return `${localpart(entry.user_id)} ${entry.receipt_type} → ${short(entry.event_id)}: ${reason}`;
  }
  const [receipt, ...more] = receiptsIn(delta);
  if (receipt === undefined) return undefined;
  const { user, type, event, data } = receipt;
  const others = more.length === 0 ? "" : ` +${more.length}`;
  return `${localpart(user)} ${type} → ${short(event)}${inThread(data.thread_id)}, order ${data.order}${others}`;
}
