/**
 * Pages of a room's markers by position: public ones, and private receipts of one user.
 *
 * A marker that moves while its room is read is there again, on a later page, and none is missed. One event can release thousands of
 * receipts, which then share its position; a page may end among them, so it names the last marker that it has.
 */
import type { Position } from "../../../actors/entry.ts";
import type { Marker } from "../../../actors/room/marker.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { Question } from "../../bus/contract/questions.ts";
import { MARKERS_BYTES_MAX } from "../../limits.ts";
import type { UserId } from "../../matrix/ids.ts";
import { isPrivate } from "../../matrix/receipt-types.ts";
import { privateMarkers } from "../delta-messages.ts";
import type { SizeOf } from "./sizes.ts";

/** Of a marker in an answer: keys, numbers and what is around them, in either encoding. */
const MARKER_BYTES = 96;

/** No id has it. */
const SEPARATOR = "\0";

export interface MarkerPage {
  readonly shown: Marker[];
  readonly own: Marker[];
  /** Where the next page begins. */
  readonly more?: { readonly markers_more: Position; readonly markers_after: string };
}

export function markerPage(room: Room, query: Question<"snapshot">, sizeOf: SizeOf): MarkerPage {
  const { user_id: user, since, markers_after: after, markers_limit: limit = Number.POSITIVE_INFINITY } = query;
  const page = { shown: [] as Marker[], own: [] as Marker[] };
  const events = new Set<string>();
  let bytes = 0;
  let count = 0;
  let last: Marker | undefined;
  for (const marker of markersFrom(room, user, since === undefined ? 0 : after === undefined ? since + 1 : since)) {
    if (after !== undefined && marker.position === since && slotOf(marker) <= after) continue;
    bytes += MARKER_BYTES + sizeOf(marker.user) + (marker.thread === null ? 0 : sizeOf(marker.thread));
    if (!events.has(marker.event)) bytes += sizeOf(marker.event) + MARKER_BYTES;
    events.add(marker.event);
    const isFull = bytes > MARKERS_BYTES_MAX || (count >= limit && marker.position !== last?.position);
    if (last !== undefined && isFull) {
      return { ...page, more: { markers_more: last.position, markers_after: slotOf(last) } };
    }
    (isPrivate(marker.type) ? page.own : page.shown).push(marker);
    last = marker;
    count++;
  }
  return page;
}

/** By position, and by slot where several share one. */
function* markersFrom(room: Room, user: UserId | undefined, position: Position): Generator<Marker> {
  let together: Marker[] = [];
  for (const marker of byPosition(room, user, position)) {
    if (together.length > 0 && together[0]!.position !== marker.position) {
      yield* bySlot(together);
      together = [];
    }
    together.push(marker);
  }
  yield* bySlot(together);
}

function* byPosition(room: Room, user: UserId | undefined, position: Position): Generator<Marker> {
  const own = user === undefined ? [] : privateMarkers([...room.markers.of(user)])["m.receipt"];
  const rest = own.filter((marker) => marker.position >= position).sort((a, b) => a.position - b.position);
  let at = 0;
  for (const marker of room.markers.publicFrom(position)) {
    while (at < rest.length && rest[at]!.position < marker.position) yield rest[at++]!;
    yield marker;
  }
  yield* rest.slice(at);
}

function bySlot(markers: Marker[]): Marker[] {
  return markers.length < 2 ? markers : markers.sort((a, b) => (slotOf(a) < slotOf(b) ? -1 : 1));
}

function slotOf({ user, type, thread, inferred }: Marker): string {
  return [user, type, thread ?? "", inferred ? "?" : ""].join(SEPARATOR);
}
