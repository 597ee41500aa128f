/**
 * The state of a room, or what changed in it since a position: the answer to `snapshot` (docs/design.md#queries).
 *
 * With `since`, the answer has only markers beyond that position, and the events after the last one that was known by then, so a
 * reader that was away for any length of time gets exactly what it lacks; `limited` is true when it leaves out events of these.
 * Older events that came since (history) are left to pages of history. With `markers_limit`, markers are sorted by
 * position, and `markers_more` is the `since` of the next page: a marker that moves in the meantime is there again, and no marker is
 * missed.
 */

import type { Position } from "../../../actors/entry.ts";
import { receiptEvent } from "../../../actors/partition/changes.ts";
import type { Marker } from "../../../actors/room/markers.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { Answer, Question } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX, TIMELINE_EVENTS_DEFAULT, TIMELINE_EVENTS_MAX } from "../../limits.ts";
import type { OrderedEvent } from "../../matrix/event.ts";
import { isPrivate } from "../../matrix/receipt-types.ts";
import { fullyReadOf, privateMarkers } from "../delta-messages.ts";
import type { Bodies } from "./bodies.ts";

/** Reads the markers at once, and then the timeline's bodies from the log. */
export async function snapshot(bodies: Bodies, room: Room, query: Question<"snapshot">): Promise<Answer<"snapshot">> {
  const { user_id: user, since = Number.NEGATIVE_INFINITY, members = true } = query;
  const shown: Marker[] = [];
  for (const marker of room.markers) if (!isPrivate(marker.type) && marker.position > since) shown.push(marker);
  const more = query.markers_limit === undefined ? undefined : cut(shown, query.markers_limit);
  const own = user === undefined ? [] : [...room.markers.of(user)].filter(({ position }) => position > since);
  const {
    "m.receipt": ownReceipts,
    "m.fully_read": [fullyRead],
  } = privateMarkers(own);
  const answer = {
    room_id: room.id,
    position: room.position,
    receipts: receiptEvent(shown).content,
    ...(more !== undefined && { markers_more: more }),
    ...(user !== undefined && { private: receiptEvent(ownReceipts).content }),
    ...(fullyRead !== undefined && { fully_read: fullyReadOf(fullyRead) }),
    ...(members && { members: Object.fromEntries(room.members) }),
  };
  const limit = query.timeline_limit ?? TIMELINE_EVENTS_DEFAULT;
  const known = room.timeline.findLastIndex(({ position }) => position <= since);
  const newer = room.timeline.slice(known + 1).map(({ position }) => position);
  const timeline = newest(await bodies.at(room, limit === 0 ? [] : newer.slice(-limit)));
  const limited = timeline.length < newer.length || newer.length === TIMELINE_EVENTS_MAX;
  return {
    ...answer,
    timeline,
    ...(timeline.length > 0 && { timeline_position: newer.at(-1)! }),
    ...(limited && { limited }),
  };
}

/** The last events, as many as fit into an answer. */
function newest(events: OrderedEvent[]): OrderedEvent[] {
  let first = events.length;
  for (let bytes = 0; first > 0; first--) {
    bytes += Buffer.byteLength(JSON.stringify(events[first - 1]));
    if (bytes > ANSWER_BYTES_MAX) break;
  }
  return events.slice(first);
}

/** Cuts the list after `limit` markers by position, and those at the same position. Returns that position if markers were cut off. */
function cut(markers: Marker[], limit: number): Position | undefined {
  markers.sort((a, b) => a.position - b.position);
  let end = Math.max(1, limit);
  while (end < markers.length && markers[end]!.position === markers[end - 1]!.position) end++;
  if (end >= markers.length) return undefined;
  markers.length = end;
  return markers[end - 1]!.position;
}
