/**
 * What clients send, or ask for, and Tidemark doesn't keep: typing, presence, account data, media, calls, other networks.
 * Each is answered so that clients neither fail nor ask again; what would be lost and matter is refused.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { forbidden, notFound, param } from "../http/matrix-error.ts";
import { userId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";

const V3 = "/_matrix/client/v3";
const DATA = `${V3}/user/:user/account_data/:type`;
const ROOM_DATA = `${V3}/user/:user/rooms/:room/account_data/:type`;
const TAGS = `${V3}/user/:user/rooms/:room/tags`;
const PRESENCE = `${V3}/presence/:user/status`;

export function notKeptRoutes(app: FastifyInstance, api: Api): void {
  const requireOwn = (request: FastifyRequest) => {
    const { user } = request.params as { user: string };
    if (user !== api.device(request).user) throw forbidden("You can only use your own account");
  };

  // Typing is true for seconds, and presence for minutes: nothing is lost that somebody would look for.
  app.put(`${V3}/rooms/:room/typing/:user`, async (request) => {
    requireOwn(request);
    await api.joinedRoom(request);
    return {};
  });
  app.put(PRESENCE, async (request) => {
    requireOwn(request);
    return {};
  });
  app.get<{ Params: { user: string } }>(PRESENCE, async (request) => {
    param(userId, "user_id", request.params.user);
    return { presence: "offline" };
  });

  for (const path of [DATA, ROOM_DATA]) {
    app.get(path, async (request) => {
      requireOwn(request);
      throw notFound("There is no such account data");
    });
    app.put(path, async (request) => {
      requireOwn(request);
      throw forbidden("This server does not store account data");
    });
  }
  app.get(TAGS, async (request) => {
    requireOwn(request);
    return { tags: {} };
  });
  app.put(`${TAGS}/:tag`, async (request) => {
    requireOwn(request);
    throw forbidden("This server does not store tags");
  });

  app.get(`${V3}/voip/turnServer`, async () => ({}));
  app.get(`${V3}/thirdparty/protocols`, async () => ({}));
  // Clients upload nothing that is larger.
  for (const path of ["/_matrix/media/v3/config", "/_matrix/media/r0/config", "/_matrix/client/v1/media/config"]) {
    app.get(path, async () => ({ "m.upload.size": 0 }));
  }
}
