/**
 * The state of a room, or what changed in it since a position: the answer to `snapshot` (docs/design.md#queries).
 *
 * With `since`, the answer has only markers beyond that position, and the events after the last one that was known by then, so a
 * reader that was away for any length of time gets exactly what it lacks; `limited` is true when it leaves out events of these.
 * Older events that came since (history) are left to pages of history. With a viewer, the answer is what that user may see
 * (docs/design.md#who-sees-what). Markers and members are paged.
 */
import { receiptEvent } from "../../../actors/partition/changes.ts";
import type { OrderRange } from "../../../actors/room/order-index.ts";
import { memberKey } from "../../../actors/room/state-changes.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Answer, Question } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX, EVENTS_SCAN_MAX, TIMELINE_EVENTS_DEFAULT, TIMELINE_EVENTS_MAX } from "../../limits.ts";
import type { OrderedEvent } from "../../matrix/event.ts";
import type { UserId } from "../../matrix/ids.ts";
import { FULLY_READ } from "../../matrix/receipt-types.ts";
import { fullyReadOf } from "../delta-messages.ts";
import { aggregationsOf } from "./aggregations.ts";
import type { Asking } from "./asking.ts";
import { eventOf } from "./bodies.ts";
import { firstOf, placesWhere, visiblePlaces } from "./event-pages.ts";
import { greatestOrder } from "./greatest-order.ts";
import { markerPage } from "./marker-pages.ts";
import { memberPage } from "./member-pages.ts";
import type { Place } from "./page.ts";
import type { SizeOf } from "./sizes.ts";
import { summary } from "./summary.ts";

/** Memberships after which a stay may be over. */
const ENDED: ReadonlySet<string | undefined> = new Set(["leave", "ban"]);

/** Reads everything of the room's state at once, and then the bodies. */
export async function snapshot(asking: Asking, query: Question<"snapshot">): Promise<Answer<"snapshot">> {
  const { viewer, since = 0, markers_after: after, timeline_limit: limit } = query;
  if (viewer === undefined) return everything(asking, query);
  const member = asking.room.members.get(viewer);
  if (member?.membership !== "join") return ofPast(asking, { ...query, viewer });
  const isFirstPage = after === undefined && limit !== 0;
  const isWhole = isFirstPage && since > 0 && member.position > since;
  const shown = await everything(asking, { ...query, user_id: viewer, ...(isWhole && { since: 0 }) });
  const more = isFirstPage && { summary: await summary(asking) };
  return { ...shown, ...more, membership: "join", ...(isWhole && { whole: true }) };
}

async function everything(asking: Asking, query: Question<"snapshot">): Promise<Answer<"snapshot">> {
  const { room, sizeOf } = asking;
  const { user_id: user, since = Number.NEGATIVE_INFINITY, members = true, members_after: membersAfter = 0 } = query;
  const { shown, own, more } = markerPage(room, query, sizeOf);
  const fullyRead = user === undefined ? undefined : room.markers.get(user, FULLY_READ, null);
  const answer = {
    room_id: room.id,
    position: room.position,
    receipts: receiptEvent(shown).content,
    ...more,
    ...(user !== undefined && { private: receiptEvent(own).content }),
    ...(fullyRead !== undefined && fullyRead.position > since && { fully_read: fullyReadOf(fullyRead) }),
    ...(members && memberPage(room, membersAfter, sizeOf)),
  };
  const visibility = query.viewer === undefined ? undefined : new Visibility(room, query.viewer);
  return { ...answer, ...(await timelineOf(asking, query, (range) => visiblePlaces(room, range, visibility))) };
}

/** What stays with a viewer who isn't joined: the events of the own stays, and the member event that ended them. */
async function ofPast(
  asking: Asking,
  query: Question<"snapshot"> & { readonly viewer: UserId },
): Promise<Answer<"snapshot">> {
  const { bodies, room } = asking;
  const { viewer, since = 0, since_memberships: known } = query;
  const membership = room.members.get(viewer)?.membership;
  const key = memberKey(viewer);
  const event = room.state.get(key);
  const hasStayed = ENDED.has(membership);
  const isWhole = hasStayed && since > 0 && room.stateChanges.knownAt(key, since, known)?.value !== "join";
  const answer = {
    room_id: room.id,
    position: room.position,
    receipts: {},
    private: {},
    ...(membership !== undefined && { membership }),
    ...(isWhole && { whole: true }),
  };
  const visibility = new Visibility(room, viewer);
  const stays = (range: OrderRange) => placesWhere(room, range, visibility, (order) => visibility.stayed(order));
  const timeline = timelineOf(asking, isWhole ? { ...query, since: 0 } : query, hasStayed ? stays : () => []);
  const [member] = event === undefined ? [] : await bodies.state(room, [{ key, position: event.position }]);
  return { ...answer, ...(await timeline), ...(member !== undefined && { member: eventOf(member) }) };
}

type Timeline = Pick<
  Answer<"snapshot">,
  "timeline" | "timeline_position" | "limited" | "aggregations" | "aggregations_next"
>;

/** The newest events of positive order that are shown, after the last one that was known by `since`. */
async function timelineOf(
  asking: Asking,
  { since = 0, timeline_limit: wanted = TIMELINE_EVENTS_DEFAULT, viewer }: Question<"snapshot">,
  placesIn: (range: OrderRange) => Iterable<Place>,
): Promise<Timeline> {
  const { bodies, room, sizeOf } = asking;
  const limit = Math.min(wanted, TIMELINE_EVENTS_MAX);
  const above = since > 0 ? greatestOrder(room, since) : 0;
  const places = firstOf(placesIn({ dir: "b", above, below: Number.POSITIVE_INFINITY }), {
    max: EVENTS_SCAN_MAX,
    shownMax: limit + 1,
  });
  const shown = places.flatMap(({ position }) => position ?? []);
  const positions = shown.slice(0, limit).reverse();
  const { timeline, bytes } = newest(await bodies.at(room, positions), sizeOf);
  const limited = timeline.length < shown.length || places.length === EVENTS_SCAN_MAX;
  return {
    timeline,
    ...(timeline.length > 0 && { timeline_position: positions.at(-1)! }),
    ...(limited && { limited }),
    ...(viewer !== undefined && (await bundlesOf(asking, timeline, { viewer, bytesMax: ANSWER_BYTES_MAX - bytes }))),
  };
}

/** What belongs to the events, as far as it fits beside them. */
async function bundlesOf(
  asking: Asking,
  timeline: readonly OrderedEvent[],
  { viewer, bytesMax }: { readonly viewer: UserId; readonly bytesMax: number },
): Promise<Pick<Timeline, "aggregations" | "aggregations_next">> {
  const ids = timeline.map(({ event_id: id }) => id);
  const { aggregations, next } = await aggregationsOf(asking, ids, { viewer, bytesMax, atLeast: 0 });
  const isEmpty = Object.keys(aggregations).length === 0;
  return { ...(!isEmpty && { aggregations }), ...(next !== undefined && { aggregations_next: next }) };
}

/** The last events, as many as fit into an answer, and their bytes. */
function newest(events: OrderedEvent[], sizeOf: SizeOf): { timeline: OrderedEvent[]; bytes: number } {
  let bytes = 0;
  for (let first = events.length; first > 0; first--) {
    const size = sizeOf(events[first - 1]);
    if (bytes + size > ANSWER_BYTES_MAX) return { timeline: events.slice(first), bytes };
    bytes += size;
  }
  return { timeline: events, bytes };
}
