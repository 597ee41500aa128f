/**
 * The tide chart of a room: events as a staircase of orders, each user's marker as a line that climbs below it, one lane
 * for the room and one for each of its busiest threads, held receipts with their beginning and end.
 *
 * A window of the log comes thinned to about as many points as there are pixels: the server sends windows, not logs.
 */
import type { Order, Position } from "../../../actors/entry.ts";
import { isPrivate, type ReceiptType } from "../../matrix/receipt-types.ts";
import type { RoomHistory } from "./room-history.ts";
import { type HeldTrack, lastAt, type MarkerTrack } from "./tracks.ts";

/** Lines in one lane, threads with a lane of their own, held receipts. */
const CHART_LINES_MAX = 24;
const CHART_LANES_MAX = 6;
const CHART_HELD_MAX = 500;

export type Axis = "time" | "position";

export interface ChartRequest {
  readonly x: Axis;
  /** The window, in units of the axis: ms, or positions. All without them. */
  readonly from?: number;
  readonly until?: number;
  /** How many points a line has at most, about. */
  readonly points: number;
  /** A user whose lines are wanted whoever else is shown. */
  readonly user?: string;
}

/** Points of a line: x in units of the axis, and the order there. */
export interface Line {
  readonly x: readonly number[];
  readonly y: readonly Order[];
}

interface MarkerLine extends Line {
  readonly user: string;
  readonly type: ReceiptType;
}

export interface Lane {
  /** null: all events, and unthreaded markers. Otherwise one thread's, and its own markers. */
  readonly thread: string | null;
  readonly events: Line;
  /** Negative orders. */
  readonly backfilled: Line;
  readonly markers: readonly MarkerLine[];
}

export interface HeldMark {
  readonly user: string;
  readonly event: string;
  readonly position: Position;
  /** Where it began, at the newest order that there was. */
  readonly x: number;
  readonly y: Order;
  /** Where it ended, at the order of its event when that came. */
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
  readonly lanes: readonly Lane[];
  readonly held: readonly HeldMark[];
  /** What there was no room for. */
  readonly more: { readonly threads: number; readonly lines: number; readonly held: number };
}

interface Placed {
  readonly position: Position;
  readonly at: number;
}

export function chartOf(history: RoomHistory, request: ChartRequest): Chart {
  const { x, points, user } = request;
  const value = (placed: Placed) => (x === "time" ? placed.at : placed.position);
  const begin = history.eventList[0] ?? history.held[0] ?? { position: 0, at: 0 };
  const from = request.from ?? value(begin);
  const until = request.until ?? value(history);
  const thin = <T extends Placed & { readonly order: Order }>(items: readonly T[]): Line =>
    thinned(items, { from, until, points, value });

  const threads = new Map<string, { order: Order; position: Position; at: number }[]>();
  const live: { order: Order; position: Position; at: number }[] = [];
  const backfilled: typeof live = [];
  for (const event of history.eventList) {
    (event.order < 0 ? backfilled : live).push(event);
    if (event.order < 0) continue;
    const events = threads.get(event.thread);
    if (events === undefined) threads.set(event.thread, [event]);
    else events.push(event);
  }

  const markers = [...history.markers()].sort((a, b) => rank(b, user) - rank(a, user));
  let lines = 0;
  const linesOf = (thread: string | null): MarkerLine[] => {
    const all = markers.filter((marker) => marker.thread === thread);
    const shown = all.slice(0, CHART_LINES_MAX);
    lines += all.length - shown.length;
    return shown.map((marker) => ({ user: marker.user, type: marker.type, ...thin(marker.moves) }));
  };
  const threaded = [...threads].sort(([, a], [, b]) => b.length - a.length);
  // The main timeline has a lane of its own only where somebody reads it as a thread.
  const worthwhile = threaded.filter(([id]) => id !== "main" || markers.some(({ thread }) => thread === "main"));
  const lanes: Lane[] = [{ thread: null, events: thin(live), backfilled: thin(backfilled), markers: linesOf(null) }];
  for (const [thread, events] of worthwhile.slice(0, CHART_LANES_MAX)) {
    lanes.push({ thread, events: thin(events), backfilled: { x: [], y: [] }, markers: linesOf(thread) });
  }
  const inWindow = history.held.filter(
    (held) => value(held) <= until && (held.ended === undefined || value(held.ended) >= from),
  );
  return {
    x,
    from,
    until,
    lanes,
    held: inWindow.slice(-CHART_HELD_MAX).map((held) => heldMark(history, live, held, value)),
    more: {
      threads: Math.max(0, worthwhile.length - CHART_LANES_MAX),
      lines,
      held: Math.max(0, inWindow.length - CHART_HELD_MAX),
    },
  };
}

/** The wanted user's lines first, then public ones, then whoever moved most. */
function rank(marker: MarkerTrack, user: string | undefined): number {
  return (marker.user === user ? 1e12 : 0) + (isPrivate(marker.type) ? 0 : 1e9) + marker.moves.length;
}

function heldMark(
  history: RoomHistory,
  live: readonly { readonly order: Order; readonly position: Position }[],
  held: HeldTrack,
  value: (placed: Placed) => number,
): HeldMark {
  const { user, event, position, ended } = held;
  const order = history.events.get(event)?.order;
  return {
    user,
    event,
    position,
    x: value(held),
    y: lastAt(live, position)?.order ?? position,
    ended:
      ended === undefined
        ? null
        : { x: value(ended), y: order ?? ended.position, position: ended.position, outcome: ended.outcome },
  };
}

interface Window {
  readonly from: number;
  readonly until: number;
  readonly points: number;
  readonly value: (placed: Placed) => number;
}

/** The items of a window, with the one before it, so that a line comes in from the left. */
function thinned(items: readonly (Placed & { readonly order: Order })[], window: Window): Line {
  const { from, until, points, value } = window;
  // Clocks of several ingresses may go back a little: then positions decide, and the line just has a kink.
  let begin = lowerBound(items, from, value);
  const end = lowerBound(items, until + 1, value);
  if (begin > 0) begin--;
  const every = Math.max(1, Math.ceil((end - begin) / points));
  const x: number[] = [];
  const y: Order[] = [];
  for (let i = begin; i < end; i++) {
    if ((i - begin) % every !== 0 && i !== end - 1) continue;
    const item = items[i]!;
    x.push(Math.max(from, value(item)));
    y.push(item.order);
  }
  return { x, y };
}

function lowerBound<T>(items: readonly T[], bound: number, value: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(items[middle]!) < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
