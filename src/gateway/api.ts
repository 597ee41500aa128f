/** What all routes of the client-server API share. */
import type { FastifyRequest } from "fastify";
import type { Frontend } from "../frontend/frontend.ts";
import { badJson, notJson } from "../http/matrix-error.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { OnlineUsers } from "./sync/online-users.ts";
import type { RecentDeltas } from "./sync/recent-deltas.ts";
import type { Sync } from "./sync/sync.ts";
import type { SyncTokens } from "./sync/sync-token.ts";
import type { Device } from "./tokens.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Set by the authentication hook. Read it through `Api.device`. */
    device: Device | undefined;
  }
}

export interface Api {
  readonly frontend: Frontend;
  readonly recent: RecentDeltas;
  readonly users: OnlineUsers;
  readonly sync: Sync;
  readonly syncTokens: SyncTokens;
  /** Returns the device that sent the request. */
  device(request: FastifyRequest): Device;
  /**
   * Returns the room in the path, to be read: what the user sees of it is for the `viewer` of a question to say. Throws
   * `M_FORBIDDEN` unless the user has a membership there.
   */
  readableRoom(request: FastifyRequest): Promise<RoomId>;
  /** Returns the room in the path. Throws `M_FORBIDDEN` unless the user is joined to it. */
  joinedRoom(request: FastifyRequest): Promise<RoomId>;
}

/** Returns the body, `{}` if there is none. For requests none of whose fields is required. */
export function optionalBodyOf(request: FastifyRequest): Record<string, unknown> {
  return request.body === undefined ? {} : bodyOf(request);
}

/** Returns the body. Throws `M_NOT_JSON` if there is no body, `M_BAD_JSON` if it is not a JSON object. */
export function bodyOf(request: FastifyRequest): Record<string, unknown> {
  const { body } = request;
  if (body === undefined) throw notJson("The request has no body");
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  throw badJson("The request body must be an object");
}
