/**
 * A page of events whose bodies are in the log. It ends at its limit, at `ANSWER_BYTES_MAX`, or where its places end; `next` says
 * where the next page begins, and is absent at the end.
 */
import type { Position } from "../../../actors/entry.ts";
import type { Page } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX } from "../../limits.ts";
import type { SizeOf } from "./sizes.ts";

/** Events that one query reads from the log at once. */
const BODIES_AT_ONCE = 32;

/** Where the log has an event, and where a page that ends with it goes on: an order, or a position. */
export interface Place {
  readonly next: number;
  /** undefined: what is there isn't for this reader. */
  readonly position: Position | undefined;
}

interface Paging<T, P> {
  readonly limit: number;
  /** Places that are looked at. There may be one more, to say that there is more. */
  readonly scan: number;
  readonly read: (places: readonly P[]) => Promise<T[]>;
  readonly sizeOf: SizeOf;
  readonly wanted?: (event: T) => boolean;
}

export async function pageOf<T, P extends Place>(
  places: readonly P[],
  { limit, scan, read, sizeOf, wanted = () => true }: Paging<T, P>,
): Promise<Page<T>> {
  const events: T[] = [];
  let bytes = 0;
  let looked = 0;
  while (looked < Math.min(scan, places.length)) {
    const part = places.slice(looked, Math.min(looked + BODIES_AT_ONCE, scan));
    const bodies = (await read(part.filter(({ position }) => position !== undefined))).values();
    for (const { position } of part) {
      const event = position === undefined ? undefined : bodies.next().value;
      if (event !== undefined && wanted(event)) {
        bytes += sizeOf(event);
        if (events.length === limit || (bytes > ANSWER_BYTES_MAX && events.length > 0)) {
          return { events, next: places[looked - 1]!.next };
        }
        events.push(event);
      }
      looked++;
    }
  }
  return looked === places.length ? { events } : { events, next: places[looked - 1]!.next };
}
