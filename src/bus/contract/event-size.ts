/** The size of an event, and what becomes of one that is too large. */
import { EVENT_BYTES_MAX } from "../../limits.ts";
import { essential } from "../../matrix/essential.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { OnPruned } from "./pruning.ts";

/**
 * Returns the event as it is stored: at most `EVENT_BYTES_MAX` of JSON. A larger one loses what the fold doesn't read, first
 * in `unsigned`, which homeservers add themselves, then in `content`.
 */
export function fittedEvent(event: MatrixEvent, onPruned: OnPruned): MatrixEvent {
  if (fits(event)) return event;
  onPruned("size");
  const { unsigned: _, ...bare } = event;
  const reduced = essential(event);
  const whole = reduced.unsigned === undefined ? bare : { ...bare, unsigned: reduced.unsigned };
  const { unsigned: __, ...envelope } = reduced;
  return [whole, reduced].find(fits) ?? { ...envelope, content: {} };
}

function fits(event: MatrixEvent): boolean {
  return Buffer.byteLength(JSON.stringify(event)) <= EVENT_BYTES_MAX;
}
