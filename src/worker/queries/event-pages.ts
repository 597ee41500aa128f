/**
 * Pages of a room's history by order (MSC4033). Backfilled events have the smaller orders, so they come before live ones.
 *
 * With a viewer, a page has what that user may see, and passes over the rest: whole runs of it at a time, since what is visible
 * changes only where the room's history visibility or the user's membership did.
 */
import type { Order, Position } from "../../../actors/entry.ts";
import { ALL, type Ordered, type OrderRange, relationKey } from "../../../actors/room/order-index.ts";
import type { Room } from "../../../actors/room/room.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Page, Question } from "../../bus/contract/questions.ts";
import { EVENTS_PAGE_DEFAULT, EVENTS_SCAN_MAX } from "../../limits.ts";
import type { MatrixEvent, OrderedEvent } from "../../matrix/event.ts";
import type { EventId } from "../../matrix/ids.ts";
import { relationOf } from "../../matrix/relations.ts";
import type { Asking } from "./asking.ts";
import { type Place, pageOf } from "./page.ts";
import type { ReadBodies } from "./seen-bodies.ts";

interface Reading extends Omit<Asking, "bodies"> {
  readonly bodies: Pick<ReadBodies, "at">;
}

/** Less than what is between two orders: for a bound that is inclusive. */
const INCLUSIVE = 0.5;

/** A page of history. `next` is the `from` of the next page. */
export function eventPage({ bodies, room, sizeOf }: Reading, query: Question<"events">): Promise<Page<OrderedEvent>> {
  const limit = query.limit ?? EVENTS_PAGE_DEFAULT;
  const { dir, from, to, relates_to: target, viewer } = query;
  const [above, below] = dir === "f" ? [from, to] : [to, from];
  const visibility = viewer === undefined ? undefined : new Visibility(room, viewer);
  // Not even the orders of what came later are the viewer's to know.
  const end = visibility === undefined ? Number.POSITIVE_INFINITY : visibility.end() + INCLUSIVE;
  const range = {
    dir,
    above: above ?? Number.NEGATIVE_INFINITY,
    below: Math.min(below ?? Number.POSITIVE_INFINITY, end),
  };
  const all =
    target === undefined
      ? visiblePlaces(room, range, visibility)
      : relatedPlaces(room, relatedTo(room, target, { query, range }), visibility);
  const places = firstOf(all, { max: EVENTS_SCAN_MAX + 1, shownMax: limit + 1 });
  const isCut = places.filter(({ position }) => position !== undefined).length > limit;
  return pageOf(places, {
    limit,
    scan: isCut ? places.length - 1 : EVENTS_SCAN_MAX,
    read: (shown) =>
      bodies.at(
        room,
        shown.map(({ position }) => position!),
      ),
    sizeOf,
    wanted: (event) => relates(event, query),
  });
}

/** What a viewer is shown: constant between edges (`Visibility`). */
interface Shown {
  edge(order: Order, dir: OrderRange["dir"]): Order;
}

/** Events by order. Of a run that the viewer doesn't see, there is one place. */
export function visiblePlaces(room: Room, range: OrderRange, visibility: Visibility | undefined): Iterable<Place> {
  if (visibility === undefined) return everyPlace(room.byOrder.range(ALL, range));
  return placesWhere(room, range, visibility, (order) => visibility.sees(order));
}

function* everyPlace(rows: Iterable<Ordered<Position>>): Generator<Place> {
  for (const [next, position] of rows) yield { next, position };
}

/** Events by order that are shown. Of a run that isn't, there is one place, without a position. */
export function* placesWhere(
  room: Room,
  range: OrderRange,
  stretches: Shown,
  isShown: (order: Order) => boolean,
): Generator<Place> {
  const { dir } = range;
  for (let rest: OrderRange | undefined = range; rest !== undefined; ) {
    const rows: Iterable<Ordered<Position>> = room.byOrder.range(ALL, rest);
    rest = undefined;
    for (const [order, position] of rows) {
      if (isShown(order)) {
        yield { next: order, position };
        continue;
      }
      yield { next: order, position: undefined };
      const edge = stretches.edge(order, dir);
      if (edge === order) continue;
      if (!Number.isFinite(edge)) return;
      rest =
        dir === "b"
          ? { ...range, below: Math.min(order, edge + INCLUSIVE) }
          : { ...range, above: Math.max(order, edge - INCLUSIVE) };
      break;
    }
  }
}

function relatedTo(
  room: Room,
  target: EventId,
  { query, range }: { readonly query: Question<"events">; readonly range: OrderRange },
): Iterable<Ordered<EventId>> {
  return query.rel_type === undefined
    ? room.relations.range(target, range)
    : room.relationsByType.range(relationKey(target, query.rel_type, query.event_type), range);
}

/** Redacted events no longer relate. */
function* relatedPlaces(
  room: Room,
  rows: Iterable<Ordered<EventId>>,
  visibility: Visibility | undefined,
): Generator<Place> {
  for (const [next, id] of rows) {
    const { position, redaction } = room.events.get(id)!;
    const isShown = redaction === undefined && visibility?.sees(next) !== false;
    yield { next, position: isShown ? position : undefined };
  }
}

/** The first places: at most `max`, and `shownMax` of events that are shown. */
export function firstOf(
  places: Iterable<Place>,
  { max, shownMax = Number.POSITIVE_INFINITY }: { readonly max: number; readonly shownMax?: number },
): Place[] {
  const first: Place[] = [];
  let shown = 0;
  for (const place of places) {
    first.push(place);
    if (place.position !== undefined) shown++;
    if (first.length === max || shown === shownMax) break;
  }
  return first;
}

function relates(event: MatrixEvent, query: Question<"events">): boolean {
  if (query.relates_to === undefined) return true;
  const relation = relationOf(event);
  if (relation?.eventId !== query.relates_to) return false;
  if (query.rel_type !== undefined && relation.relType !== query.rel_type) return false;
  return query.event_type === undefined || event.type === query.event_type;
}
