/**
 * Room sections of `/sync` as JSON text, rendered once for all users with the same changes and the same filter.
 *
 * A room has many clients, and most of them lack only its last change. Data of a single user is never shared: private
 * receipts lead to separate `SharedChanges` (`RecentDeltas`), sections with transaction ids are not cached, and the
 * summary and the unread counts are added to the text per user.
 */
import type { Answer, RoomSummary } from "../../bus/contract/questions.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import type { Filter } from "../filter.ts";
import { countsSection, roomSection } from "./room-section.ts";
import { summaryFor } from "./room-summaries.ts";
import type { SharedChanges } from "./shared-changes.ts";
import { shownState, type Viewer } from "./shown-state.ts";

/** Returns the section of a room without counts; undefined if there is nothing to send. `members`: of its senders, if wanted. */
export function sharedSection(
  changes: SharedChanges,
  room: RoomId,
  viewer: Viewer,
  members: readonly MatrixEvent[] = [],
): string | undefined {
  const text = renderedSection(changes, room, viewer, members);
  if (text !== undefined) return text;
  return countsSection(changes.receipts, room, viewer);
}

/** The part of it that is the same for all users with the same filter. */
function renderedSection(
  changes: SharedChanges,
  room: RoomId,
  viewer: Viewer,
  members: readonly MatrixEvent[],
): string | undefined {
  const { rendered } = changes;
  const cached = rendered.get(viewer.filter);
  if (cached !== undefined || rendered.has(viewer.filter)) return cached;
  const update = { ...changes, limited: false, state: [shownState(members, room, viewer)], whole: false };
  const text = roomSection(update, room, viewer);
  const dependsOnDevice = update.events.some(({ unsigned }) => unsigned.transaction_id !== undefined);
  if (!dependsOnDevice) rendered.set(viewer.filter, text);
  return text;
}

/** Adds the unread counts of the user to a section. */
export function withCounts(section: string, { unthreaded, main, threads }: Answer<"unread">, filter: Filter): string {
  const open = section.slice(0, -1);
  if (filter.room?.timeline?.unread_thread_notifications !== true) {
    return `${open},"unread_notifications":${notifications(unthreaded)}}`;
  }
  const apart = Object.entries(threads).map(([root, count]) => `${JSON.stringify(root)}:${notifications(count)}`);
  return `${open},"unread_notifications":${notifications(main)},"unread_thread_notifications":{${apart.join(",")}}}`;
}

/** Adds the summary of the room, as the user gets it. */
export function withSummary(section: string, summary: RoomSummary, user: UserId): string {
  return `${section.slice(0, -1)},"summary":${JSON.stringify(summaryFor(summary, user))}}`;
}

/** There are no push rules, so nothing is ever a highlight. */
function notifications({ count }: { readonly count: number }): string {
  return `{"notification_count":${count},"highlight_count":0}`;
}
