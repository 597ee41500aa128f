/** What the routes of the client-server API share. */
import type { FastifyRequest } from "fastify";
import type { Frontend } from "../frontend/frontend.ts";
import { badJson, notJson } from "../http/matrix-error.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { OnlineUsers } from "./sync/online-users.ts";
import type { RecentDeltas } from "./sync/recent-deltas.ts";
import type { Sync } from "./sync/sync.ts";
import type { Device } from "./tokens.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks. Only `Api.device` looks at it. */
    device: Device | undefined;
  }
}

export interface Api {
  readonly frontend: Frontend;
  readonly recent: RecentDeltas;
  readonly users: OnlineUsers;
  readonly sync: Sync;
  /** Who asks. */
  device(request: FastifyRequest): Device;
  /** The room that the path names. Throws `M_FORBIDDEN` unless whoever asks is joined. */
  joinedRoom(request: FastifyRequest): Promise<RoomId>;
}

/** The body, which must be a JSON object. Throws `M_NOT_JSON` when there is none, `M_BAD_JSON` when it is something else. */
export function bodyOf(request: FastifyRequest): Record<string, unknown> {
  const { body } = request;
  if (body === undefined) throw notJson("The request has no body");
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  throw badJson("The request body must be an object");
}
