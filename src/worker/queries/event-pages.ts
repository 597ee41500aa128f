/**
 * Pages of a room's events: its history by order (MSC4033), and its current state.
 *
 * Backfilled events have the smaller orders, so they come before live ones. A page ends at its limit, at `ANSWER_BYTES_MAX`, or after
 * `EVENTS_SCAN_MAX` events were read; `next` is where the next page begins, and absent at the end.
 */
import type { EventInfo, Order, Position } from "../../../actors/entry.ts";
import { ALL } from "../../../actors/room/order-index.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { Page, Question } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX, EVENTS_PAGE_DEFAULT, EVENTS_SCAN_MAX } from "../../limits.ts";
import type { MatrixEvent, OrderedEvent } from "../../matrix/event.ts";
import { relationOf } from "../../matrix/relations.ts";
import type { Bodies } from "./bodies.ts";

/** Events that one query reads from the log at once. */
const BODIES_AT_ONCE = 32;

/** A page of history. `next` is the `from` of the next page. */
export function eventPage(bodies: Bodies, room: Room, query: Question<"events">): Promise<Page<OrderedEvent>> {
  const limit = query.limit ?? EVENTS_PAGE_DEFAULT;
  const { dir, from, to, relates_to: target } = query;
  const [above, below] = dir === "f" ? [from, to] : [to, from];
  const range = { dir, above: above ?? Number.NEGATIVE_INFINITY, below: below ?? Number.POSITIVE_INFINITY };
  const scan = target === undefined ? limit : EVENTS_SCAN_MAX;
  const places: Iterable<Place> =
    target === undefined
      ? placesOf(room.byOrder.range(ALL, range))
      : relatedPlaces(room, room.relations.range(target, range));
  return pageOf(firstOf(places, scan + 1), {
    limit,
    scan,
    read: (positions) => bodies.at(room, positions),
    wanted: (event) => relates(event, query),
  });
}

function* placesOf(rows: Iterable<readonly [Order, Position]>): Generator<Place> {
  for (const [next, position] of rows) yield { next, position };
}

function* relatedPlaces(room: Room, rows: Iterable<readonly [Order, EventInfo["id"]]>): Generator<Place> {
  for (const [next, id] of rows) yield { next, position: room.events.get(id)!.position };
}

function firstOf<T>(items: Iterable<T>, max: number): T[] {
  const first: T[] = [];
  for (const item of items) {
    if (first.push(item) === max) break;
  }
  return first;
}

/** The current state events that changed after a position, oldest change first. `next` is the `since` of the next page. */
export function statePage(bodies: Bodies, room: Room, since: Position): Promise<Page<MatrixEvent>> {
  const positions = Array.from(room.state, ([, { position }]) => position).filter((position) => position > since);
  return pageOf(
    positions.sort((a, b) => a - b).map((position) => ({ next: position, position })),
    {
      limit: EVENTS_SCAN_MAX,
      scan: EVENTS_SCAN_MAX,
      read: (part) => bodies.state(room, part),
      wanted: () => true,
    },
  );
}

/** Where the log has an event, and where a page that ends with it goes on: an order, or a position. */
interface Place {
  readonly next: number;
  readonly position: Position;
}

interface Paging<T> {
  readonly limit: number;
  readonly scan: number;
  readonly read: (positions: readonly Position[]) => Promise<T[]>;
  readonly wanted: (event: T) => boolean;
}

async function pageOf<T>(places: readonly Place[], { limit, scan, read, wanted }: Paging<T>): Promise<Page<T>> {
  const events: T[] = [];
  let bytes = 0;
  let looked = 0;
  while (looked < Math.min(scan, places.length)) {
    const part = places.slice(looked, Math.min(looked + BODIES_AT_ONCE, scan));
    for (const event of await read(part.map(({ position }) => position))) {
      if (wanted(event)) {
        bytes += Buffer.byteLength(JSON.stringify(event));
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

function relates(event: MatrixEvent, query: Question<"events">): boolean {
  if (query.relates_to === undefined) return true;
  const relation = relationOf(event);
  if (relation?.eventId !== query.relates_to) return false;
  if (query.rel_type !== undefined && relation.relType !== query.rel_type) return false;
  return query.event_type === undefined || event.type === query.event_type;
}
