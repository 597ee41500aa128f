/** Versions, capabilities, the account of the user and the device that asks, and stored filters. */
import type { FastifyInstance } from "fastify";
import { isOverTls } from "../http/forwarded.ts";
import { forbidden, notFound } from "../http/matrix-error.ts";
import { ORDER_FEATURE } from "../matrix/order-names.ts";
import type { Api } from "./api.ts";
import { bodyOf } from "./api.ts";
import { filterId, filterOf } from "./filter.ts";

/**
 * Clients ask for what a version has. So v1.10 (`recurse` of relations) and later ones (media with authentication) are
 * not claimed.
 */
const VERSIONS = ["r0.6.1", ...Array.from({ length: 9 }, (_, minor) => `v1.${minor + 1}`)];
const OFF = { enabled: false };

export function publicRoutes(app: FastifyInstance): void {
  app.get("/_matrix/client/versions", async () => ({
    versions: VERSIONS,
    unstable_features: { [ORDER_FEATURE]: true },
  }));

  // For clients of the address that they already use. Another one has to be served there by its own web server.
  app.get("/.well-known/matrix/client", async (request) => ({
    "m.homeserver": { base_url: `${isOverTls(request) ? "https" : "http"}://${request.host}` },
    "io.element.e2ee": { default: false, force_disable: true },
  }));
}

export function accountRoutes(app: FastifyInstance, api: Api): void {
  app.get("/_matrix/client/v3/account/whoami", async (request) => {
    const { user, id } = api.device(request);
    return { user_id: user, ...(id !== undefined && { device_id: id }), is_guest: false };
  });
  // Which other devices the user has, a token doesn't say.
  app.get("/_matrix/client/v3/devices", async (request) => {
    const { id } = api.device(request);
    return { devices: id === undefined ? [] : [{ device_id: id }] };
  });
  app.get<{ Params: { device: string } }>("/_matrix/client/v3/devices/:device", async (request) => {
    const { id } = api.device(request);
    if (id !== request.params.device) throw notFound("Only the device that asks is known");
    return { device_id: id };
  });
  app.get("/_matrix/client/v3/capabilities", async () => ({
    capabilities: {
      "m.change_password": OFF,
      "m.set_displayname": OFF,
      "m.set_avatar_url": OFF,
      "m.3pid_changes": OFF,
      "m.get_login_token": OFF,
      "m.room_versions": { default: "11", available: { "11": "stable" } },
    },
  }));
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
