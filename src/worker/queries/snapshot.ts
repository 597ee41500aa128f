/**
 * The state of a room, or what changed in it since a position: the answer to `snapshot` (docs/design.md#queries).
 *
 * With `since`, the answer has only markers beyond that position, and the events after the last one that was known by then, so a
 * reader that was away for any length of time gets exactly what it lacks; `limited` is true when it leaves out events of these.
 * Older events that came since (history) are left to pages of history. With a viewer, the answer is what that user may see
 * (docs/design.md#who-sees-what). With `markers_limit`, markers are sorted by
 * position, and `markers_more` is the `since` of the next page: a marker that moves in the meantime is there again, and no marker is
 * missed.
 */

import type { Position } from "../../../actors/entry.ts";
import { receiptEvent } from "../../../actors/partition/changes.ts";
import type { Marker } from "../../../actors/room/markers.ts";
import type { OrderRange } from "../../../actors/room/order-index.ts";
import type { Room } from "../../../actors/room/room.ts";
import { memberKey } from "../../../actors/room/state-changes.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Answer, Question } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX, EVENTS_SCAN_MAX, TIMELINE_EVENTS_DEFAULT, TIMELINE_EVENTS_MAX } from "../../limits.ts";
import type { OrderedEvent } from "../../matrix/event.ts";
import type { UserId } from "../../matrix/ids.ts";
import { isPrivate } from "../../matrix/receipt-types.ts";
import { fullyReadOf, privateMarkers } from "../delta-messages.ts";
import type { Bodies } from "./bodies.ts";
import { firstOf, placesWhere, visiblePlaces } from "./event-pages.ts";
import { greatestOrder } from "./greatest-order.ts";
import type { Place } from "./page.ts";

/** Memberships after which a stay may be over. */
const ENDED: ReadonlySet<string | undefined> = new Set(["leave", "ban"]);

/** Reads the markers at once, and then the bodies from the log. */
export async function snapshot(bodies: Bodies, room: Room, query: Question<"snapshot">): Promise<Answer<"snapshot">> {
  const { viewer } = query;
  if (viewer === undefined) return everything(bodies, room, query);
  const member = room.members.get(viewer);
  if (member?.membership !== "join") return ofPast(bodies, room, { ...query, viewer });
  const { since = 0 } = query;
  const isWhole = since > 0 && member.position > since;
  const shown = await everything(bodies, room, { ...query, user_id: viewer, ...(isWhole && { since: 0 }) });
  return { ...shown, membership: "join", ...(isWhole && { whole: true }) };
}

async function everything(bodies: Bodies, room: Room, query: Question<"snapshot">): Promise<Answer<"snapshot">> {
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
    ...(members && { members: room.memberships() }),
  };
  const visibility = query.viewer === undefined ? undefined : new Visibility(room, query.viewer);
  return { ...answer, ...(await timelineOf(bodies, room, query, (range) => visiblePlaces(room, range, visibility))) };
}

/** What stays with a viewer who isn't joined: the events of the own stays, and the member event that ended them. */
async function ofPast(
  bodies: Bodies,
  room: Room,
  query: Question<"snapshot"> & { readonly viewer: UserId },
): Promise<Answer<"snapshot">> {
  const { viewer } = query;
  const membership = room.members.get(viewer)?.membership;
  const event = room.state.get(memberKey(viewer));
  const answer = {
    room_id: room.id,
    position: room.position,
    receipts: {},
    private: {},
    ...(membership !== undefined && { membership }),
  };
  const visibility = new Visibility(room, viewer);
  const hasStayed = ENDED.has(membership);
  const stays = (range: OrderRange) => placesWhere(room, range, visibility, (order) => visibility.stayed(order));
  const timeline = timelineOf(bodies, room, query, hasStayed ? stays : () => []);
  const [member] = event === undefined ? [] : await bodies.state(room, [event.position]);
  return { ...answer, ...(await timeline), ...(member !== undefined && { member }) };
}

type Timeline = Pick<Answer<"snapshot">, "timeline" | "timeline_position" | "limited">;

/** The newest events of positive order that are shown, after the last one that was known by `since`. */
async function timelineOf(
  bodies: Bodies,
  room: Room,
  { since = 0, timeline_limit: wanted = TIMELINE_EVENTS_DEFAULT }: Question<"snapshot">,
  placesIn: (range: OrderRange) => Iterable<Place>,
): Promise<Timeline> {
  const limit = Math.min(wanted, TIMELINE_EVENTS_MAX);
  const above = since > 0 ? greatestOrder(room, since) : 0;
  const places = firstOf(placesIn({ dir: "b", above, below: Number.POSITIVE_INFINITY }), {
    max: EVENTS_SCAN_MAX,
    shownMax: limit + 1,
  });
  const shown = places.flatMap(({ position }) => position ?? []);
  const positions = shown.slice(0, limit).reverse();
  const timeline = newest(await bodies.at(room, positions));
  const limited = timeline.length < shown.length || places.length === EVENTS_SCAN_MAX;
  return {
    timeline,
    ...(timeline.length > 0 && { timeline_position: positions.at(-1)! }),
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
