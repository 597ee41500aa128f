/**
 * The data of the tide chart of a room: events as a staircase of orders, and each user's marker as a line below it.
 * There is one lane for the room and one for each of its busiest threads. Held receipts have a start and an end.
 *
 * A request selects a window of the log. Lines are thinned to about as many points as there are pixels, so the size of
 * an answer does not depend on the size of the room.
 */
import type { Order, Position } from "../../../actors/entry.ts";
import { isPrivate, type ReceiptType } from "../../matrix/receipt-types.ts";
import type { RoomHistory } from "./room-history.ts";
import type { Sliced } from "./sliced.ts";
import { countWhile, type EventTrack, type HeldTrack, lastAt, type MarkerTrack, threadAt } from "./tracks.ts";

/** Lines in one lane, threads with a lane of their own, held receipts. */
const CHART_LINES_MAX = 24;
const CHART_LANES_MAX = 6;
const CHART_HELD_MAX = 500;

export type Axis = "time" | "position";

export interface ChartRequest {
  readonly x: Axis;
  /** The window, in units of the axis: ms or positions. Default: the whole log. */
  readonly from?: number;
  readonly until?: number;
  /** The approximate maximum of points per line. */
  readonly points: number;
  /** The lines of this user are always included. */
  readonly user?: string;
}

/** The points of a line: x in units of the axis, y the order, see `Chart.origin`. */
export interface Line {
  readonly x: readonly number[];
  readonly y: readonly Order[];
}

interface MarkerLine extends Line {
  readonly user: string;
  readonly type: ReceiptType;
}

export interface Lane {
  /** null: the lane of the room, with all events and the unthreaded markers. Otherwise the lane of this thread. */
  readonly thread: string | null;
  readonly events: Line;
  /** Events that came as history or backfill, whose orders fall. */
  readonly older: Line;
  readonly markers: readonly MarkerLine[];
}

export interface HeldMark {
  readonly user: string;
  readonly event: string;
  readonly position: Position;
  /** The start: where it was held, at the newest live order of that time. */
  readonly x: number;
  readonly y: Order;
  /** The end: where it was judged, at the order of its event if there is one. */
  readonly ended: {
    readonly x: number;
    readonly y: Order;
    readonly position: Position;
    readonly outcome: string;
  } | null;
}

export interface Chart {
  readonly x: Axis;
  readonly from: number;
  readonly until: number;
  /** Subtracted from positive orders, so that they lie near the negative ones. */
  readonly origin: Order;
  readonly lanes: readonly Lane[];
  readonly held: readonly HeldMark[];
  /** The numbers of what is left out. */
  readonly more: { readonly threads: number; readonly lines: number; readonly held: number };
}

/** Something with a place on both axes. */
interface Point {
  readonly position: Position;
  readonly at: number;
}

/** In slices. The history may grow meanwhile: the chart has what came before `until`. */
export function* chartOf(history: RoomHistory, request: ChartRequest): Sliced<Chart> {
  const { x, points, user } = request;
  const value = (point: Point) => (x === "time" ? point.at : point.position);
  const begin = history.eventList[0] ?? history.held[0] ?? { position: 0, at: 0 };
  const from = request.from ?? value(begin);
  const until = request.until ?? value(history);
  const origin = yield* originOf(history);
  const thin = (items: readonly (Point & { readonly order: Order })[]): Line =>
    thinned(items, { from, until, points, origin, value });

  const threads = new Map<string, EventTrack[]>();
  const live: EventTrack[] = [];
  const older: EventTrack[] = [];
  for (const event of history.eventList) {
    yield;
    (event.live ? live : older).push(event);
    if (!event.live) continue;
    const thread = threadAt(event, history.position);
    const events = threads.get(thread);
    if (events === undefined) threads.set(thread, [event]);
    else events.push(event);
  }

  const markers = new Map<string | null, MarkerTrack[]>();
  for (const marker of history.markers()) {
    yield;
    const inThread = markers.get(marker.thread);
    if (inThread === undefined) markers.set(marker.thread, [marker]);
    else inThread.push(marker);
  }
  let lines = 0;
  const linesOf = (thread: string | null): MarkerLine[] => {
    const all = markers.get(thread) ?? [];
    const shown = all.sort((a, b) => rank(b, user) - rank(a, user)).slice(0, CHART_LINES_MAX);
    lines += all.length - shown.length;
    return shown.map((marker) => ({ user: marker.user, type: marker.type, ...thin(marker.moves) }));
  };
  const threaded = [...threads].sort(([, a], [, b]) => b.length - a.length);
  // The main timeline has its own lane only if a user has a marker for it.
  const worthwhile = threaded.filter(([id]) => id !== "main" || markers.has("main"));
  const lanes: Lane[] = [{ thread: null, events: thin(live), older: thin(older), markers: linesOf(null) }];
  for (const [thread, events] of worthwhile.slice(0, CHART_LANES_MAX)) {
    yield;
    lanes.push({ thread, events: thin(events), older: { x: [], y: [] }, markers: linesOf(thread) });
  }
  const inWindow: HeldTrack[] = [];
  for (const held of history.held) {
    yield;
    if (value(held) <= until && (held.ended === undefined || value(held.ended) >= from)) inWindow.push(held);
  }
  return {
    x,
    from,
    until,
    origin,
    lanes,
    held: inWindow.slice(-CHART_HELD_MAX).map((held) => heldMark(held, { history, live, origin, value })),
    more: {
      threads: Math.max(0, worthwhile.length - CHART_LANES_MAX),
      lines,
      held: Math.max(0, inWindow.length - CHART_HELD_MAX),
    },
  };
}

/** Ranks markers: the requested user first, then public markers, then those with the most moves. */
function rank(marker: MarkerTrack, user: string | undefined): number {
  return (marker.user === user ? 1e12 : 0) + (isPrivate(marker.type) ? 0 : 1e9) + marker.moves.length;
}

/** One less than the smallest positive order. */
function* originOf({ eventList }: RoomHistory): Sliced<Order> {
  let smallest = Number.POSITIVE_INFINITY;
  for (const { order } of eventList) {
    yield;
    if (order > 0 && order < smallest) smallest = order;
  }
  return Number.isFinite(smallest) ? smallest - 1 : 0;
}

function height(order: Order, origin: Order): number {
  return order > 0 ? order - origin : order;
}

interface HeldContext {
  readonly history: RoomHistory;
  readonly live: readonly EventTrack[];
  readonly origin: Order;
  readonly value: (point: Point) => number;
}

function heldMark(held: HeldTrack, { history, live, origin, value }: HeldContext): HeldMark {
  const { user, event, position, ended } = held;
  const order = history.events.get(event)?.order;
  const y = height(lastAt(live, position)?.order ?? 0, origin);
  return {
    user,
    event,
    position,
    x: value(held),
    y,
    ended:
      ended === undefined
        ? null
        : {
            x: value(ended),
            y: order === undefined ? y : height(order, origin),
            position: ended.position,
            outcome: ended.outcome,
          },
  };
}

interface Window {
  readonly from: number;
  readonly until: number;
  readonly points: number;
  readonly origin: Order;
  readonly value: (point: Point) => number;
}

/** Returns the points of the window, and the one before it, so that the line starts at the left edge. */
function thinned(items: readonly (Point & { readonly order: Order })[], window: Window): Line {
  const { from, until, points, origin, value } = window;
  // The clocks of ingresses may differ a little, so times are not quite sorted. That only leads to a kink in the line.
  let begin = countWhile(items, (item) => value(item) < from);
  const end = countWhile(items, (item) => value(item) < until + 1);
  if (begin > 0) begin--;
  const every = Math.max(1, Math.ceil((end - begin) / points));
  const x: number[] = [];
  const y: Order[] = [];
  for (let i = begin; i < end; i++) {
    if ((i - begin) % every !== 0 && i !== end - 1) continue;
    const item = items[i]!;
    x.push(Math.max(from, value(item)));
    y.push(height(item.order, origin));
  }
  return { x, y };
}
