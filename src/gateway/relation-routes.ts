/** What relates to an event, and the threads of a room: `/relations`, `/threads`. */
import type { FastifyInstance } from "fastify";
import * as z from "zod";
import { notFound, param } from "../http/matrix-error.ts";
import { EVENTS_PAGE_DEFAULT } from "../limits.ts";
import { eventId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";
import { BundledEvents } from "./bundled-events.ts";
import { direction, HistoryPages, limit, tokenAfter } from "./history-pages.ts";

const ROOM = "/_matrix/client/v1/rooms/:room";
const include = z.enum(["all", "participated"], { error: "must be all or participated" });

export function relationRoutes(app: FastifyInstance, api: Api): void {
  const { frontend } = api;
  const history = new HistoryPages(api);
  const bundled = new BundledEvents(frontend);

  for (const tail of ["", "/:rel", "/:rel/:type"]) {
    app.get<{ Params: { event: string; rel?: string; type?: string } }>(
      `${ROOM}/relations/:event${tail}`,
      async (request) => {
        const query = request.query as Record<string, unknown>;
        const { event, rel, type } = request.params;
        const target = param(eventId, "event_id", event);
        const dir = param(direction, "dir", query.dir ?? "b");
        const room = await api.readableRoom(request);
        const device = api.device(request);
        const viewer = device.user;
        const { event: found } = await frontend.query(room, { op: "event", event_id: target, viewer });
        if (found === null) throw notFound("No such event in this room");
        const { events, next } = await history.ask(room, viewer, {
          ...(await history.paging(room, viewer, { query, dir })),
          relates_to: target,
          ...(rel !== undefined && { rel_type: rel }),
          ...(type !== undefined && { event_type: type }),
        });
        return {
          chunk: await bundled.of(room, events, device),
          ...(next !== undefined && { next_batch: tokenAfter(next, dir) }),
          ...(query.from !== undefined && { prev_batch: query.from }),
        };
      },
    );
  }

  app.get(`${ROOM}/threads`, async (request) => {
    const query = request.query as Record<string, unknown>;
    const which = param(include, "include", query.include ?? "all");
    const wanted = Math.max(1, param(limit, "limit", query.limit ?? EVENTS_PAGE_DEFAULT));
    const device = api.device(request);
    const room = await api.readableRoom(request);
    const from = await history.orderAfter(room, device.user, { value: query.from, field: "from" });
    const { events, next } = await frontend.query(room, {
      op: "roots",
      viewer: device.user,
      limit: wanted,
      ...(from !== undefined && { from }),
      ...(which === "participated" && { participated: device.user }),
    });
    return {
      chunk: await bundled.of(room, events, device),
      ...(next !== undefined && { next_batch: tokenAfter(next, "b") }),
    };
  });
}
