/** Versions, capabilities, the account of the user, and stored filters. */
import type { FastifyInstance } from "fastify";
import { forbidden } from "../http/matrix-error.ts";
import type { Api } from "./api.ts";
import { bodyOf } from "./api.ts";
import { filterId, filterOf } from "./filter.ts";

const VERSIONS = Array.from({ length: 11 }, (_, minor) => `v1.${minor + 1}`);
const NO_RULES = { override: [], content: [], room: [], sender: [], underride: [] };

export function publicRoutes(app: FastifyInstance): void {
  app.get("/_matrix/client/versions", async () => ({ versions: VERSIONS, unstable_features: {} }));
}

export function accountRoutes(app: FastifyInstance, api: Api): void {
  app.get("/_matrix/client/v3/account/whoami", async (request) => {
    const { user, id } = api.device(request);
    return { user_id: user, ...(id !== undefined && { device_id: id }), is_guest: false };
  });
  app.get("/_matrix/client/v3/capabilities", async () => ({
    capabilities: {
      "m.change_password": { enabled: false },
      "m.room_versions": { default: "11", available: { "11": "stable" } },
    },
  }));
  for (const path of ["/_matrix/client/v3/pushrules/", "/_matrix/client/v3/pushrules"]) {
    app.get(path, async () => ({ global: NO_RULES }));
  }
  app.get("/_matrix/client/v3/joined_rooms", async (request) => {
    const user = await api.users.get(api.device(request).user);
    return { joined_rooms: [...user.rooms.keys()].filter((room) => user.isJoined(room)) };
  });

  app.post<{ Params: { user: string } }>("/_matrix/client/v3/user/:user/filter", async (request) => {
    requireOwn(api.device(request).user, request.params.user);
    return { filter_id: filterId(bodyOf(request)) };
  });
  app.get<{ Params: { user: string; filter: string } }>(
    "/_matrix/client/v3/user/:user/filter/:filter",
    async (request) => {
      requireOwn(api.device(request).user, request.params.user);
      return filterOf(request.params.filter);
    },
  );
}

function requireOwn(user: string, requested: string): void {
  if (requested !== user) throw forbidden("You can only use your own filters");
}
