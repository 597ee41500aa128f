/**
 * The requests of the inspector about a room's history, and their answers. The server answers them over HTTP for live
 * rooms. For a log file, the page answers them itself.
 */
import * as z from "zod";
import type { Order, Position } from "../../../actors/entry.ts";
import { reasonOf } from "../../errors.ts";
import { type Chart, chartOf } from "./chart.ts";
import type { RoomHistory, UnreadAt } from "./room-history.ts";
import { finished, type Sliced } from "./sliced.ts";
import { OUTCOMES, type Step } from "./step.ts";
import { matches, resolveId, type StepFilter } from "./step-filter.ts";
import { countThrough, type HeldTrack, placeAt, positionIn } from "./tracks.ts";
import { type Why, why } from "./why-text.ts";

/** What one request of the inspector's page gets at most. */
const INSPECT_POINTS_MAX = 4_000;
const INSPECT_ROWS_MAX = 200;
const INSPECT_USERS_SHOWN_MAX = 200;
const INSPECT_HELD_SHOWN_MAX = 100;
const INSPECT_MARKERS_SHOWN_MAX = 800;

const text = z.string().max(300);
const position = z.int().min(0);

const filterSchema = z.object({
  user: text.optional(),
  event: text.optional(),
  thread: text.optional(),
  outcome: z.enum(OUTCOMES).optional(),
});

export const inspectRequest = z.discriminatedUnion("op", [
  z.object({ op: z.literal("summary") }),
  z.object({
    op: z.literal("chart"),
    x: z.enum(["time", "position"]),
    from: z.number().optional(),
    until: z.number().optional(),
    points: z.int().min(10).max(INSPECT_POINTS_MAX),
    user: text.optional(),
  }),
  /** Entries up to a position, or from a position on. */
  z.object({
    op: z.literal("entries"),
    direction: z.enum(["until", "from"]),
    position: position.optional(),
    limit: z.int().min(1).max(INSPECT_ROWS_MAX),
    filter: filterSchema.optional(),
  }),
  /** The state at a position, at a time, or after the step with this index. Default: the newest state. */
  z.object({
    op: z.literal("state"),
    position: position.optional(),
    time: z.number().optional(),
    index: z.int().min(0).optional(),
  }),
  z.object({ op: z.literal("why"), user: text, event: text, position: position.optional() }),
]);

export type InspectRequest = z.infer<typeof inspectRequest>;

export interface Summary {
  readonly room: string;
  readonly entries: number;
  readonly events: number;
  readonly position: Position;
  readonly at: number;
  readonly held: number;
  /** The users with the most and the least unread events; null in a room without users. */
  readonly most: { readonly user: string; readonly unread: number } | null;
  readonly least: { readonly user: string; readonly unread: number } | null;
}

interface EntriesWindow {
  readonly steps: readonly Step[];
  /** Whether there are more matching steps before and after these. */
  readonly before: boolean;
  readonly after: boolean;
}

interface MarkerAt {
  readonly user: string;
  readonly type: string;
  readonly thread: string | null;
  readonly event: string;
  readonly order: Order;
  readonly position: Position;
}

/** F13. */
interface UserAt extends Omit<UnreadAt, "threads"> {
  readonly user: string;
  readonly membership: string | null;
  /** The number of threads with unread events: a room may have more of them than an answer has room for. */
  readonly threads: number;
}

export interface StateAt {
  readonly position: Position;
  readonly at: number;
  /** The index of the step, and the number of steps in the history. */
  readonly index: number;
  readonly steps: number;
  readonly events: number;
  readonly step: Step | null;
  readonly users: readonly UserAt[];
  readonly markers: readonly MarkerAt[];
  readonly held: readonly HeldTrack[];
  readonly more: { readonly users: number; readonly held: number };
}

export interface Answers {
  readonly summary: Summary;
  readonly chart: Chart;
  readonly entries: EntriesWindow;
  readonly state: StateAt;
  readonly why: Why;
}

export function inspect(history: RoomHistory, request: InspectRequest): Answers[keyof Answers] {
  return finished(inspectSliced(history, request));
}

/** The same, in slices. The history may grow meanwhile: the answer is as of the beginning. */
export function* inspectSliced(history: RoomHistory, request: InspectRequest): Sliced<Answers[keyof Answers]> {
  switch (request.op) {
    case "summary":
      return yield* summaryOf(history);
    case "chart": {
      const { x, points, from, until, user } = request;
      return yield* chartOf(history, {
        x,
        points,
        ...(from !== undefined && { from }),
        ...(until !== undefined && { until }),
        ...(user !== undefined && { user }),
      });
    }
    case "entries":
      return yield* entriesOf(history, request);
    case "state":
      return yield* stateAt(history, request);
    case "why":
      return whyOf(history, request);
  }
}

/** Ids may be shortened. Of a user whom the room doesn't have, nothing is said that would be true of nobody. */
function whyOf(history: RoomHistory, request: Extract<InspectRequest, { op: "why" }>): Why {
  const position = Math.min(request.position ?? history.position, history.position);
  let answer: string;
  try {
    const user = resolveId(request.user, history.users(history.position), "user");
    const event = resolveId(request.event, history.events.keys(), "event") ?? request.event;
    if (user !== undefined) return why(history, { user, event, position });
    answer = `nobody whose id begins with ${request.user} has sent, read or been a member`;
  } catch (error) {
    answer = reasonOf(error);
  }
  return { verdict: "unknown", answer: `Neither read nor unread: ${answer}.`, because: [], entries: [] };
}

/** Returns the users with unread counts: the joined ones, or all users if no membership is known. */
function readers(history: RoomHistory, position: Position): string[] {
  const users = history.users(position);
  const joined = users.filter((user) => history.membership(user, position) === "join");
  return joined.length > 0 ? joined : users;
}

export function* summaryOf(history: RoomHistory): Sliced<Summary> {
  const { room, entries, position, at, eventList } = history;
  const events = eventList.length;
  const held = history.heldAt(position).length;
  const unread: { readonly user: string; readonly unread: number }[] = [];
  for (const user of readers(history, position).slice(0, INSPECT_USERS_SHOWN_MAX)) {
    unread.push({ user, unread: (yield* history.unreadSliced(user, position)).total });
    yield;
  }
  unread.sort((a, b) => b.unread - a.unread);
  return {
    room,
    entries,
    events,
    position,
    at,
    held,
    most: unread[0] ?? null,
    least: unread.at(-1) ?? null,
  };
}

function* entriesOf(history: RoomHistory, request: Extract<InspectRequest, { op: "entries" }>): Sliced<EntriesWindow> {
  const { direction, limit } = request;
  const filter = (request.filter ?? {}) as StepFilter;
  const { steps } = history;
  const end = steps.length;
  const anchor = request.position ?? (direction === "until" ? history.position : 0);
  /** Returns the index of the next step that matches, or the one at which there is none. */
  function* next(begin: number, by: 1 | -1): Sliced<number> {
    let i = begin;
    for (; i >= 0 && i < end && !matches(filter, steps[i]!); i += by) yield;
    return i;
  }
  const isStep = (i: number) => i >= 0 && i < end;
  const found: Step[] = [];
  if (direction === "until") {
    const begin = countThrough(steps, anchor, positionIn) - 1;
    const after = isStep(yield* next(begin + 1, 1));
    let i = yield* next(begin, -1);
    for (; isStep(i) && found.length < limit; i = yield* next(i - 1, -1)) found.push(steps[i]!);
    return { steps: found.reverse(), before: isStep(i), after };
  }
  const begin = countThrough(steps, anchor - 1, positionIn);
  const before = isStep(yield* next(begin - 1, -1));
  let i = yield* next(begin, 1);
  for (; isStep(i) && found.length < limit; i = yield* next(i + 1, 1)) found.push(steps[i]!);
  return { steps: found, before, after: isStep(i) };
}

/** By code units, which a locale would take many times as long for. */
function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** The first markers by user and type, and the newest of these. */
function* markersAt(history: RoomHistory, position: Position): Sliced<MarkerAt[]> {
  const all: MarkerAt[] = [];
  for (const user of history.users(position).sort()) {
    const markers: MarkerAt[] = [];
    for (const marker of history.markersOf(user)) {
      yield;
      const move = placeAt(marker, position);
      if (move === undefined) continue;
      const { type, thread } = marker;
      markers.push({ user, type, thread, event: move.event, order: move.order, position: move.position });
    }
    markers.sort((a, b) => compare(a.type, b.type) || b.order - a.order);
    all.push(...markers.slice(0, INSPECT_MARKERS_SHOWN_MAX - all.length));
    if (all.length >= INSPECT_MARKERS_SHOWN_MAX) break;
    yield;
  }
  return all;
}

function* stateAt(history: RoomHistory, request: Extract<InspectRequest, { op: "state" }>): Sliced<StateAt> {
  const { steps } = history;
  const time = request.time === undefined ? undefined : history.positionAt(request.time);
  const wanted = request.position ?? time ?? history.position;
  const index =
    request.index === undefined
      ? Math.max(0, countThrough(steps, wanted, positionIn) - 1)
      : Math.min(request.index, Math.max(0, steps.length - 1));
  const count = steps.length;
  const step = steps[index];
  const position = step?.position ?? 0;

  const held = history.heldAt(position);
  const users = readers(history, position);
  const shown: UserAt[] = [];
  for (const user of users.slice(0, INSPECT_USERS_SHOWN_MAX)) {
    const membership = history.membership(user, position) ?? null;
    const { threads, ...unread } = yield* history.unreadSliced(user, position);
    shown.push({ user, membership, ...unread, threads: threads.size });
    yield;
  }
  return {
    position,
    at: step?.at ?? 0,
    index,
    steps: count,
    events: history.eventsThrough(position),
    step: step ?? null,
    users: shown,
    markers: yield* markersAt(history, position),
    held: held.slice(0, INSPECT_HELD_SHOWN_MAX),
    more: {
      users: Math.max(0, users.length - INSPECT_USERS_SHOWN_MAX),
      held: Math.max(0, held.length - INSPECT_HELD_SHOWN_MAX),
    },
  };
}
