/**
 * Rooms of `/sync` as JSON text, made once for all who are shown the same: the same changes, through the same filter.
 *
 * A room has many clients, and most have seen all of it but the last change. What is one user's alone is never shared:
 * private receipts make changes of their own (`RecentDeltas`), an event with a transaction differs by device, and unread
 * counts are added to the text for each user.
 */
import type { RoomId } from "../matrix/ids.ts";
import type { Filter } from "./filter.ts";
import type { UnreadCounts } from "./online-users.ts";
import type { RoomChanges } from "./recent-deltas.ts";
import { roomSection, unreadSection, type Viewer } from "./room-section.ts";

export class SharedSections {
  /** By filter; null for nothing to show. */
  readonly #texts = new WeakMap<RoomChanges, Map<Filter, string | null>>();

  /** The section without counts; undefined when there is nothing to show. Changes are not changed afterwards. */
  of(changes: RoomChanges, room: RoomId, viewer: Viewer): string | undefined {
    let texts = this.#texts.get(changes);
    if (texts === undefined) {
      texts = new Map();
      this.#texts.set(changes, texts);
    }
    let text = texts.get(viewer.filter);
    if (text === undefined) {
      const section = roomSection({ ...changes, limited: false, state: [], whole: false }, room, viewer);
      text = section === undefined ? null : JSON.stringify(section);
      const isOneDevices = changes.events.some(({ unsigned }) => unsigned.transaction_id !== undefined);
      if (!isOneDevices) texts.set(viewer.filter, text);
    }
    return text ?? undefined;
  }
}

/** Counts as JSON text without its first brace: with those of threads apart, and without. */
const countTexts = { apart: new WeakMap<UnreadCounts, string>(), together: new WeakMap<UnreadCounts, string>() };

/** A section with the counts of whom it is for. */
export function withCounts(section: string, counts: UnreadCounts, filter: Filter): string {
  const texts = filter.room?.timeline?.unread_thread_notifications ? countTexts.apart : countTexts.together;
  let text = texts.get(counts);
  if (text === undefined) {
    text = JSON.stringify(unreadSection(counts, filter)).slice(1);
    texts.set(counts, text);
  }
  return `${section.slice(0, -1)},${text}`;
}
