/**
 * Pages of a room's history for clients.
 *
 * A pagination token is a place between events: `o<order>` is just before the event with that order, `o` is the end of
 * the room. It works in both directions, on every gateway, and never expires. Tokens of `/sync` are accepted too.
 */
import * as z from "zod";
import type { Answer, Asked } from "../bus/contract/questions.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import type { Frontend } from "../frontend/frontend.ts";
import { invalidParam, param } from "../http/matrix-error.ts";
import { EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX } from "../limits.ts";
import type { OrderedEvent } from "../matrix/event.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";
import { type EventFilter, parseFilter, parseJson, passes } from "./filter.ts";
import { historyToken } from "./sync/room-section.ts";
import type { SyncTokens } from "./sync/sync-token.ts";
import { SEALED } from "./sync/token-seal.ts";

const HISTORY_TOKEN = /^o(-?\d{1,16})?$/;
/** Before every event. An order beyond it could not be decremented. */
const FIRST_ORDER = Number.MIN_SAFE_INTEGER + 1;
/** Pages that are read for one page with a filter. */
const PAGES_MAX = 10;
const text = z.string({ error: "must be given once" }).optional();
export const direction = z.enum(["b", "f"], { error: "must be b or f" });
export const limit = z.coerce
  .number({ error: "must be a number" })
  .int({ error: "must be an integer" })
  .min(0, { error: "must not be negative" })
  .transform((wanted) => Math.min(wanted, EVENTS_PAGE_MAX));

export type Direction = z.infer<typeof direction>;
export type EventsQuestion = Omit<Asked<"events">, "op" | "viewer">;

interface Gathering extends EventsQuestion {
  readonly filter: EventFilter | undefined;
}

/** Some events of the room, and where the next ones are; `next` is undefined if there are none. */
interface Gathered {
  readonly events: readonly OrderedEvent[];
  readonly next: string | undefined;
}

export class HistoryPages {
  readonly #frontend: Frontend;
  readonly #syncTokens: SyncTokens;

  constructor({ frontend, syncTokens }: Pick<Api, "frontend" | "syncTokens">) {
    this.#frontend = frontend;
    this.#syncTokens = syncTokens;
  }

  /** What one user sees. */
  ask(room: RoomId, viewer: UserId, question: EventsQuestion): Promise<Answer<"events">> {
    return this.#frontend.query(room, { op: "events", viewer, ...question });
  }

  /** Reads the parameters of a page. */
  async paging(
    room: RoomId,
    viewer: UserId,
    { query, dir }: { readonly query: Record<string, unknown>; readonly dir: Direction },
  ): Promise<EventsQuestion> {
    const from = await this.orderAfter(room, viewer, { value: query.from, field: "from" });
    const to = await this.orderAfter(room, viewer, { value: query.to, field: "to" });
    return {
      dir,
      limit: Math.max(1, param(limit, "limit", query.limit ?? EVENTS_PAGE_DEFAULT)),
      ...(from !== undefined && { from: dir === "b" ? from : from - 1 }),
      ...(to !== undefined && { to: dir === "b" ? to - 1 : to }),
    };
  }

  /** Gathers the events that pass a filter, up to the limit, or as many as `PAGES_MAX` pages have. */
  async gather(room: RoomId, viewer: UserId, { filter, ...question }: Gathering): Promise<Gathered> {
    const { dir, limit: wanted = EVENTS_PAGE_DEFAULT } = question;
    const gathered: OrderedEvent[] = [];
    let from = question.from;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const atOnce = filter === undefined ? wanted - gathered.length : EVENTS_PAGE_MAX;
      const { events, next } = await this.ask(room, viewer, {
        ...question,
        limit: atOnce,
        ...(from !== undefined && { from }),
      });
      for (const event of events) {
        if (passes(filter, event)) gathered.push(event);
        from = event.unsigned.order;
        if (gathered.length === wanted) return { events: gathered, next: tokenAfter(from, dir) };
      }
      if (next === undefined) {
        // Some clients drop the events of a page that doesn't say where the next one begins.
        const last = gathered.length === 0 ? undefined : from;
        return { events: gathered, next: last === undefined ? undefined : tokenAfter(last, dir) };
      }
      from = next;
    }
    return { events: gathered, next: from === undefined ? undefined : tokenAfter(from, dir) };
  }

  /** Returns the smallest order after a token; undefined if there is none, it is the end of the room, or can't be opened. */
  async orderAfter(
    room: RoomId,
    viewer: UserId,
    { value, field }: { readonly value: unknown; readonly field: string },
  ): Promise<number | undefined> {
    const token = param(text, field, value);
    if (token === undefined) return undefined;
    const match = HISTORY_TOKEN.exec(token);
    if (match !== null) return match[1] === undefined ? undefined : clamped(Number(match[1]));
    if (!SEALED.test(token)) throw invalidParam(`${field}: is not a token of this server`);
    const place = (await this.#syncTokens.read(viewer, token))?.places[partitionOf(room, this.#frontend.partitions)];
    if (place === undefined) return undefined;
    const { greatest } = await this.#frontend.query(room, { op: "orders", event_ids: [], through: place.published });
    return greatest! + 1;
  }
}

function clamped(order: number): number {
  return Math.min(Math.max(order, FIRST_ORDER), -FIRST_ORDER);
}

/** The place before all events, or after them. */
export function outerToken(dir: Direction): string {
  return historyToken(dir === "f" ? FIRST_ORDER : undefined);
}

/** The place behind an order, in a direction. */
export function tokenAfter(order: number, dir: Direction): string {
  return historyToken(dir === "b" ? order : order + 1);
}

/** Parses the `filter` parameter: a filter of events, as JSON. */
export function eventFilter(value: unknown): EventFilter | undefined {
  const json = param(text, "filter", value);
  return json === undefined
    ? undefined
    : (parseFilter({ room: { timeline: parseJson(json) } }).room?.timeline ?? undefined);
}
