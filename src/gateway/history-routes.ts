/** The history of a room: `/messages`, `/context`, `/event`. */
import type { FastifyInstance } from "fastify";
import { notFound, param } from "../http/matrix-error.ts";
import { EVENTS_PAGE_DEFAULT } from "../limits.ts";
import { type EventId, eventId, type RoomId, type UserId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";
import { BundledEvents } from "./bundled-events.ts";
import { clientEvent } from "./client-event.ts";
import { direction, eventFilter, HistoryPages, limit, outerToken, tokenAfter } from "./history-pages.ts";
import { stateOf } from "./state-routes.ts";

const ROOM = "/_matrix/client/v3/rooms/:room";

export function historyRoutes(app: FastifyInstance, api: Api): void {
  const { frontend } = api;
  const history = new HistoryPages(api);
  const bundled = new BundledEvents(frontend);

  const eventOf = async (room: RoomId, id: EventId, viewer: UserId) => {
    const { event } = await frontend.query(room, { op: "event", event_id: id, viewer });
    if (event === null) throw notFound("No such event in this room");
    return event;
  };

  app.get(`${ROOM}/messages`, async (request) => {
    const query = request.query as Record<string, unknown>;
    const dir = param(direction, "dir", query.dir);
    const filter = eventFilter(query.filter);
    const room = await api.readableRoom(request);
    const device = api.device(request);
    const paging = await history.paging(room, device.user, { query, dir });
    const { events, next } = await history.gather(room, device.user, { ...paging, filter });
    return {
      start: query.from ?? outerToken(dir),
      ...(next !== undefined && { end: next }),
      chunk: await bundled.of(room, events, device),
    };
  });

  app.get<{ Params: { event: string } }>(`${ROOM}/event/:event`, async (request) => {
    const id = param(eventId, "event_id", request.params.event);
    const room = await api.readableRoom(request);
    const device = api.device(request);
    const [event] = await bundled.of(room, [await eventOf(room, id, device.user)], device);
    return event;
  });

  app.get<{ Params: { event: string } }>(`${ROOM}/context/:event`, async (request) => {
    const query = request.query as Record<string, unknown>;
    const id = param(eventId, "event_id", request.params.event);
    const around = param(limit, "limit", query.limit ?? EVENTS_PAGE_DEFAULT);
    const filter = eventFilter(query.filter);
    const room = await api.readableRoom(request);
    const device = api.device(request);
    const viewer = device.user;
    const event = await eventOf(room, id, viewer);
    const { order } = event.unsigned;
    const side = async (dir: "b" | "f", wanted: number) =>
      wanted === 0 ? [] : (await history.gather(room, viewer, { dir, limit: wanted, from: order, filter })).events;
    const half = Math.floor(around / 2);
    const [before, after] = await Promise.all([side("b", half), side("f", around - half)]);
    const senders = [event, ...before, ...after].map(({ sender }) => sender);
    const last = after.at(-1)?.unsigned.order ?? order;
    const state = await stateOf(frontend, room, { viewer, at: last, members: [...new Set(senders)] });
    const shown = await bundled.of(room, [event, ...before, ...after], device);
    return {
      start: tokenAfter(before.at(-1)?.unsigned.order ?? order, "b"),
      end: tokenAfter(last, "f"),
      event: shown[0],
      events_before: shown.slice(1, 1 + before.length),
      events_after: shown.slice(1 + before.length),
      state: state.map((each) => clientEvent(each, device, room)),
    };
  });
}
