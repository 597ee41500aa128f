/**
 * Rooms of `/sync` as JSON text, made once for all who are shown the same: the same changes, through the same filter.
 *
 * A room has many clients, and most have seen all of it but the last change. What is one user's alone is never shared:
 * private receipts make changes of their own (`RecentDeltas`), an event with a transaction differs by device, and unread
 * counts are added to the text for each user.
 */
import type { RoomId } from "../../matrix/ids.ts";
import type { Filter } from "../filter.ts";
import type { UnreadCounts } from "./online-users.ts";
import type { SharedChanges } from "./recent-deltas.ts";
import { roomSection, type Viewer } from "./room-section.ts";

/** A room's section without counts; undefined when there is nothing to show. */
export function sectionOf(changes: SharedChanges, room: RoomId, viewer: Viewer): string | undefined {
  const { events, made } = changes;
  const known = made.get(viewer.filter);
  if (known !== undefined || made.has(viewer.filter)) return known;
  const section = roomSection({ ...changes, limited: false, state: [], whole: false }, room, viewer);
  const text = section === undefined ? undefined : JSON.stringify(section);
  const isOneDevices = events.some(({ unsigned }) => unsigned.transaction_id !== undefined);
  if (!isOneDevices) made.set(viewer.filter, text);
  return text;
}

/** A section with the counts of whom it is for. */
export function withCounts(section: string, { unthreaded, main, threads }: UnreadCounts, filter: Filter): string {
  const open = section.slice(0, -1);
  if (filter.room?.timeline?.unread_thread_notifications !== true) {
    return `${open},"unread_notifications":${notifications(unthreaded)}}`;
  }
  const apart = Object.entries(threads).map(([root, count]) => `${JSON.stringify(root)}:${notifications(count)}`);
  return `${open},"unread_notifications":${notifications(main)},"unread_thread_notifications":{${apart.join(",")}}}`;
}

/** Nobody is ever mentioned: there are no push rules. */
function notifications({ count }: { readonly count: number }): string {
  return `{"notification_count":${count},"highlight_count":0}`;
}
