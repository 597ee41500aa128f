/**
 * The history of a room: `/messages`, `/event`, `/relations`.
 *
 * A pagination token is a place between events: `o<order>` is just before the event with that order, `o` is the end of
 * the room. It works in both directions, on every gateway, and never expires. Tokens of `/sync` are accepted too.
 */
import type { FastifyInstance } from "fastify";
import * as z from "zod";
import type { Asked } from "../bus/contract/questions.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { notFound, param } from "../http/matrix-error.ts";
import { EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX } from "../limits.ts";
import { eventId, type RoomId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";
import { clientEvent } from "./client-event.ts";
import { type EventFilter, parseFilter, parseJson, passes } from "./filter.ts";
import { historyToken } from "./sync/room-section.ts";
import { decodeSyncToken } from "./sync/sync-token.ts";

const HISTORY_TOKEN = /^o(-?\d{1,16})?$/;
const text = z.string({ error: "must be given once" }).optional();
const direction = z.enum(["b", "f"], { error: "must be b or f" });
const limit = z.coerce
  .number({ error: "must be a number" })
  .int({ error: "must be an integer" })
  .min(0, { error: "must not be negative" })
  .transform((wanted) => Math.min(Math.max(wanted, 1), EVENTS_PAGE_MAX));

type EventsQuestion = Omit<Asked<"events">, "op">;

export function historyRoutes(app: FastifyInstance, api: Api): void {
  const { frontend } = api;
  /** Returns the smallest order after a token; undefined if the token is the end of the room, or there is none. */
  const orderAfter = async (room: RoomId, token: string | undefined, field: string): Promise<number | undefined> => {
    if (token === undefined) return undefined;
    const match = HISTORY_TOKEN.exec(token);
    if (match !== null) return match[1] === undefined ? undefined : Number(match[1]);
    const { partitions } = frontend;
    const { published } = decodeSyncToken(token, partitions, field).marks[partitionOf(room, partitions)]!;
    const { greatest } = await frontend.query(room, { op: "orders", event_ids: [], through: published });
    return greatest! + 1;
  };
  const pagingOf = async (room: RoomId, query: Record<string, unknown>, dir: "b" | "f"): Promise<EventsQuestion> => {
    const from = await orderAfter(room, param(text, "from", query.from), "from");
    const to = await orderAfter(room, param(text, "to", query.to), "to");
    return {
      dir,
      limit: param(limit, "limit", query.limit ?? EVENTS_PAGE_DEFAULT),
      ...(from !== undefined && { from: dir === "b" ? from : from - 1 }),
      ...(to !== undefined && { to: dir === "b" ? to - 1 : to }),
    };
  };
  const ask = (room: RoomId, question: EventsQuestion) => frontend.query(room, { op: "events", ...question });

  app.get("/_matrix/client/v3/rooms/:room/messages", async (request) => {
    const query = request.query as Record<string, unknown>;
    const dir = param(direction, "dir", query.dir);
    const filter = param(text, "filter", query.filter);
    const wanted = filter === undefined ? undefined : eventFilter(filter);
    const room = await api.joinedRoom(request);
    const { events, next } = await ask(room, await pagingOf(room, query, dir));
    return {
      start: query.from ?? historyToken(dir === "f" ? Number.MIN_SAFE_INTEGER : undefined),
      ...endOf(next, dir, "end"),
      chunk: events
        .filter((event) => passes(wanted, event))
        .map((event) => clientEvent(event, api.device(request), room)),
    };
  });

  app.get<{ Params: { event: string } }>("/_matrix/client/v3/rooms/:room/event/:event", async (request) => {
    const id = param(eventId, "event_id", request.params.event);
    const room = await api.joinedRoom(request);
    const { event } = await frontend.query(room, { op: "event", event_id: id });
    if (event === null) throw notFound("No such event in this room");
    return clientEvent(event, api.device(request), room);
  });

  for (const tail of ["", "/:rel", "/:rel/:type"]) {
    app.get<{ Params: { event: string; rel?: string; type?: string } }>(
      `/_matrix/client/v1/rooms/:room/relations/:event${tail}`,
      async (request) => {
        const query = request.query as Record<string, unknown>;
        const { event, rel, type } = request.params;
        const target = param(eventId, "event_id", event);
        const dir = param(direction, "dir", query.dir ?? "b");
        const room = await api.joinedRoom(request);
        const { orders } = await frontend.query(room, { op: "orders", event_ids: [target] });
        if (orders[target] === null) throw notFound("No such event in this room");
        const { events, next } = await ask(room, {
          ...(await pagingOf(room, query, dir)),
          relates_to: target,
          ...(rel !== undefined && { rel_type: rel }),
          ...(type !== undefined && { event_type: type }),
        });
        const chunk = events.map((found) => clientEvent(found, api.device(request), room));
        return {
          chunk,
          ...endOf(next, dir, "next_batch"),
          ...(query.from !== undefined && { prev_batch: query.from }),
        };
      },
    );
  }
}

function endOf(next: number | undefined, dir: "b" | "f", field: string): Record<string, string> {
  return next === undefined ? {} : { [field]: historyToken(dir === "b" ? next : next + 1) };
}

function eventFilter(json: string): EventFilter | undefined {
  return parseFilter({ room: { timeline: parseJson(json) } }).room?.timeline;
}
