/**
 * Which events can make a room unread, by thread and order, so that a count looks only at what lies after a marker.
 *
 * Only live events are here: a backfilled one has a negative order and is always read (F12). They come in log order,
 * so every thread's list is sorted.
 */
import { UNREAD_COUNT_MAX } from "../src/limits.ts";
import { MAIN, type ThreadId, type UserId } from "../src/matrix/ids.ts";
import type { EventInfo } from "./event-info.ts";
import type { Markers } from "./markers.ts";

/** F13. Unread message-like events of others, each figure at most `UNREAD_COUNT_MAX`. */
export interface UnreadCounts {
  /** In the whole room. */
  readonly unthreaded: number;
  readonly main: number;
  /** By thread root. Threads with nothing unread are absent. */
  readonly threads: ReadonlyMap<ThreadId, number>;
}

export class UnreadIndex {
  readonly #byThread = new Map<ThreadId, EventInfo[]>();

  add(event: EventInfo): void {
    const events = this.#byThread.get(event.thread);
    if (events === undefined) this.#byThread.set(event.thread, [event]);
    else events.push(event);
  }

  count(user: UserId, markers: Markers): UnreadCounts {
    let unthreaded = 0;
    let main = 0;
    const threads = new Map<ThreadId, number>();
    for (const [thread, events] of this.#byThread) {
      const count = countAfter(events, markers.readUpTo(user, thread), user);
      if (count === 0) continue;
      unthreaded += count;
      if (thread === MAIN) main = count;
      else threads.set(thread, count);
    }
    return { unthreaded: Math.min(unthreaded, UNREAD_COUNT_MAX), main, threads };
  }
}

/** Newest first, so that it ends at the marker or at the cap. */
function countAfter(events: readonly EventInfo[], readUpTo: number, user: UserId): number {
  let count = 0;
  for (let i = events.length - 1; i >= 0 && count < UNREAD_COUNT_MAX; i--) {
    const event = events[i]!;
    if (event.order <= readUpTo) break;
    if (event.counts && event.sender !== user) count++;
  }
  return count;
}
