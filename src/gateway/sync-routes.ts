/** `GET /sync`: its parameters. */
import type { FastifyInstance } from "fastify";
import * as z from "zod";
import { SYNC_TIMEOUT_MS_MAX } from "../limits.ts";
import type { Api } from "./api.ts";
import { filterParam } from "./filter.ts";
import { param } from "./matrix-error.ts";
import { decodeSyncToken } from "./sync-token.ts";

const text = z.string({ error: "must be given once" }).optional();
const timeout = z.coerce
  .number({ error: "must be a number of milliseconds" })
  .min(0, { error: "must not be negative" })
  .transform((ms) => Math.min(ms, SYNC_TIMEOUT_MS_MAX));
const flag = z.enum(["true", "false"], { error: "must be true or false" }).optional();

export function syncRoutes(app: FastifyInstance, { frontend, device, sync }: Api): void {
  app.get("/_matrix/client/v3/sync", (request, reply) => {
    const query = request.query as Record<string, unknown>;
    const since = param(text, "since", query.since);
    const wanted = {
      device: device(request),
      since: since === undefined ? undefined : decodeSyncToken(since, frontend.partitions),
      timeoutMs: param(timeout, "timeout", query.timeout ?? 0),
      filter: filterParam(param(text, "filter", query.filter)),
      fullState: param(flag, "full_state", query.full_state) === "true",
    };
    const giveUp = sync.answer(wanted, {
      answered: (body) => void reply.header("content-type", "application/json; charset=utf-8").send(body),
      failed: (error) => void reply.send(error),
    });
    reply.raw.once("close", giveUp);
  });
}
