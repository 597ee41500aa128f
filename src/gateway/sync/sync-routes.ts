/** `GET /sync`: parses the parameters. */
import type { FastifyInstance } from "fastify";
import * as z from "zod";
import { whenGone } from "../../http/connections.ts";
import { invalidParam, param } from "../../http/matrix-error.ts";
import { SYNC_TIMEOUT_MS_MAX } from "../../limits.ts";
import type { Api } from "../api.ts";
import { filterParam } from "../filter.ts";
import type { TimedSyncRequest } from "./sync.ts";
import type { SyncToken } from "./sync-token.ts";

const timeout = z.coerce
  .number({ error: "must be a number of milliseconds" })
  .min(0, { error: "must not be negative" })
  .transform((ms) => Math.min(ms, SYNC_TIMEOUT_MS_MAX));
const flag = z.enum(["true", "false"], { error: "must be true or false" });

export function syncRoutes(app: FastifyInstance, { device, sync, syncTokens }: Api): void {
  app.get("/_matrix/client/v3/sync", (request, reply) => {
    const query = request.query as Record<string, unknown>;
    const sinceText = once("since", query.since) || undefined;
    const wanted = {
      device: device(request),
      sinceText,
      timeoutMs: query.timeout === undefined ? 0 : param(timeout, "timeout", query.timeout),
      filter: filterParam(once("filter", query.filter)),
      fullState: query.full_state !== undefined && param(flag, "full_state", query.full_state) === "true",
    };
    const { socket } = request.raw;
    if (socket.destroyed) return;
    let isGone = false;
    let cancel = () => {};
    const forget = whenGone(socket, () => {
      isGone = true;
      cancel();
    });
    const failed = (error: unknown) => {
      forget();
      void reply.send(error);
    };
    const answer = (since: TimedSyncRequest["since"]) => {
      if (isGone) return;
      const answered = (body: string) => {
        forget();
        void reply.header("content-type", "application/json; charset=utf-8").send(body);
      };
      cancel = sync.answer({ ...wanted, since }, { answered, failed });
    };
    const opened = (token: SyncToken | undefined) => answer(token ?? "lost");
    const token = sinceText === undefined ? undefined : syncTokens.read(wanted.device.user, sinceText);
    if (sinceText === undefined) answer(undefined);
    else if (token instanceof Promise) token.then(opened, failed);
    else opened(token);
  });
}

/** Parsed without a schema, for speed: /sync is requested more often than everything else together. */
function once(field: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw invalidParam(`${field}: must be given once`);
}
