/**
 * The routes of the inspector: its page under `/inspect/`, and the API of the page under `/inspect/api/`. Read-only.
 *
 *     GET  /inspect/api/rooms?search=            the rooms of the log, the busiest first
 *     GET  /inspect/api/rooms/:room?q=<request>  the answer to a request about a room, as JSON (`replay/history/inspect.ts`)
 *     GET  /inspect/api/rooms/:room/follow       server-sent events: `grown` after new entries
 *     POST /inspect/api/session                  { token } → the session cookie
 */
import { existsSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import compress from "@fastify/compress";
import fastifyStatic from "@fastify/static";
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { reasonOf } from "../errors.ts";
import { inSlices } from "../in-slices.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { inspectRequest, inspectSliced } from "../replay/history/inspect.ts";
import { Admission, type InspectAccess } from "./admission.ts";
import { notifyOfGrowth } from "./growth-stream.ts";
import { InspectedRooms } from "./inspected-rooms.ts";

export interface InspectorOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly access: InspectAccess;
  readonly log: Logger;
  /** The folder of the built page. Default: the one of this package. */
  readonly page?: string;
}

/** Forbids resources of other hosts, inline scripts, and frames around the page. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; " +
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

const EVENT_STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

/** The names of assets contain a hash of their content. */
const ASSETS = /[/\\]assets[/\\]/;
const ASSET_CACHE = "public, max-age=31536000, immutable";

/** Returns the folder of the page: next to the compiled program, or where a checkout builds it. */
function builtPage(): string {
  const folder = ["../../inspector", "../../dist/inspector"]
    .map((path) => join(import.meta.dirname, path))
    .find((path) => existsSync(join(path, "index.html")));
  if (folder === undefined) throw new Error("the inspector's page is not built: run `npm run build`");
  return folder;
}

export function inspectorRoutes(options: InspectorOptions): FastifyPluginAsync {
  const { nc, partitions, log, page = builtPage() } = options;
  const admission = new Admission(options.access);
  return async (app) => {
    const rooms = new InspectedRooms({
      nc,
      partitions,
      onError: (room, error) => log.error({ room, reason: reasonOf(error) }, "a room can't be inspected"),
    });
    const streams = new Set<ServerResponse>();
    app.addHook("preClose", async () => {
      for (const stream of streams) stream.end();
      rooms.close();
    });
    app.addHook("onRequest", async (_, reply) => {
      reply.headers(HEADERS);
    });
    // This route also matches the path with a trailing slash, which relative links of the page need.
    app.get("/inspect", async (request, reply) =>
      /^\/inspect(?:\?|$)/.test(request.url) ? reply.redirect("/inspect/", 308) : reply.sendFile("index.html"),
    );
    await app.register(fastifyStatic, {
      root: page,
      prefix: "/inspect/",
      preCompressed: true,
      cacheControl: false,
      setHeaders: (response, path) => {
        response.setHeader("cache-control", ASSETS.test(path) ? ASSET_CACHE : "no-cache");
      },
    });
    app.post("/inspect/api/session", { bodyLimit: 4_096 }, async (request, reply) => {
      const { token } = (request.body ?? {}) as { token?: unknown };
      const cookie = admission.cookieFor(token, request);
      if (cookie === undefined) return await refuse(reply);
      return await reply.header("set-cookie", cookie).send({ ok: true });
    });
    await app.register(async (api) => {
      await api.register(compress, { threshold: 1_024 });
      api.addHook("onRequest", async (request, reply) => {
        reply.header("cache-control", "no-store");
        if (!admission.admits(request)) await refuse(reply);
      });
      api.get("/inspect/api/rooms", async (request) => {
        const { search } = request.query as { search?: string };
        return await rooms.list(search ?? "");
      });
      api.get("/inspect/api/rooms/:room", async (request, reply) => await answer(rooms, request, reply));
      api.get("/inspect/api/rooms/:room/follow", async (request, reply) => {
        const room = roomOf(request);
        const history = room === undefined ? undefined : await rooms.history(room);
        if (room === undefined || history === undefined) return await notFound(reply);
        reply.hijack();
        const { raw } = reply;
        streams.add(raw);
        raw.on("close", () => streams.delete(raw));
        raw.writeHead(200, { ...HEADERS, ...EVENT_STREAM_HEADERS });
        notifyOfGrowth(raw, history, (listener) => rooms.listen(room, listener));
        return reply;
      });
    });
  };
}

async function refuse(reply: FastifyReply): Promise<FastifyReply> {
  return await reply.code(401).send({ errcode: "M_UNAUTHORIZED", error: "the admin token is required" });
}

function roomOf(request: FastifyRequest): RoomId | undefined {
  const room = roomId.safeParse((request.params as { room: string }).room);
  return room.success ? room.data : undefined;
}

async function answer(rooms: InspectedRooms, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const room = roomOf(request);
  if (room === undefined) return await notFound(reply);
  let json: unknown;
  try {
    json = JSON.parse((request.query as { q?: string }).q ?? "");
  } catch {
    json = undefined;
  }
  const asked = inspectRequest.safeParse(json);
  if (!asked.success) {
    const issue = asked.error.issues[0];
    return await reply
      .code(400)
      .send({ errcode: "M_INVALID_PARAM", error: `q: ${issue?.path.join(".")} ${issue?.message}` });
  }
  if (asked.data.op === "summary") return await reply.send({ answer: await rooms.summary(room) });
  const history = await rooms.history(room);
  if (history === undefined) return await notFound(reply);
  return { answer: await inSlices(inspectSliced(history, asked.data)) };
}

async function notFound(reply: FastifyReply): Promise<FastifyReply> {
  return await reply.code(404).send({ errcode: "M_NOT_FOUND", error: "the log has no such room" });
}
