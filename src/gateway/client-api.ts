/**
 * The Matrix client-server API that Tidemark serves: who may ask, and what.
 *
 * What a client is told comes from the bus, by deltas and queries. All that is kept here is a cache, so several gateways
 * run side by side, and a client may go from one to another at any time.
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from "fastify";
import type { Bus } from "../bus/client/connection.ts";
import { jsonFault } from "../bus/contract/untrusted.ts";
import { Frontend } from "../frontend/frontend.ts";
import { badJson, forbidden, MatrixError, notJson, param } from "../http/matrix-error.ts";
import { RECENT_DELTAS_READ, USER_REQUESTS_MAX, USER_REQUESTS_WINDOW_MS } from "../limits.ts";
import { roomId } from "../matrix/ids.ts";
import { accountRoutes, publicRoutes } from "./account-routes.ts";
import type { Api } from "./api.ts";
import { historyRoutes } from "./history-routes.ts";
import { receiptRoutes } from "./receipt-routes.ts";
import { RequestLimit } from "./request-limit.ts";
import { standaloneRoutes } from "./standalone-routes.ts";
import { OnlineUsers } from "./sync/online-users.ts";
import { RecentDeltas } from "./sync/recent-deltas.ts";
import { Sync } from "./sync/sync.ts";
import { SyncNews } from "./sync/sync-news.ts";
import { syncRoutes } from "./sync/sync-routes.ts";
import type { Device, Tokens } from "./tokens.ts";

export interface ClientApiOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly tokens: Tokens;
  /** Whether rooms can be made and written to here, without a homeserver. */
  readonly standalone?: boolean;
}

export interface ClientApi {
  readonly routes: FastifyPluginAsync;
  close(): Promise<void>;
}

export async function openClientApi({
  nc,
  partitions,
  tokens,
  standalone = false,
}: ClientApiOptions): Promise<ClientApi> {
  const frontend = new Frontend(nc, partitions, { back: RECENT_DELTAS_READ });
  const users = new OnlineUsers(frontend);
  const recent = await followAll(frontend, users);
  const sync = new Sync(users, new SyncNews(frontend, recent));
  const limit = new RequestLimit({ max: USER_REQUESTS_MAX, windowMs: USER_REQUESTS_WINDOW_MS });
  const device = (request: FastifyRequest) => request.device!;
  const api: Api = {
    frontend,
    recent,
    users,
    sync,
    device,
    joinedRoom: async (request) => {
      const { room } = request.params as { room: string };
      const id = param(roomId, "room_id", room);
      const { user } = device(request);
      if (users.ready(user)?.isJoined(id) || (await users.isJoined(user, id))) return id;
      throw forbidden("You are not joined to this room");
    },
  };

  const routes: FastifyPluginAsync = async (app) => {
    takeJson(app);
    app.addHook("preClose", async () => sync.close());
    publicRoutes(app);
    await app.register(async (scope) => {
      scope.decorateRequest("device");
      scope.addHook("onRequest", (request, _reply, done) => {
        const admit = (found: Device | undefined) => {
          if (found === undefined) return done(unknownToken());
          request.device = found;
          const waitMs = limit.take(found.user);
          done(
            waitMs === undefined ? undefined : new MatrixError(429, "M_LIMIT_EXCEEDED", "Too many requests", waitMs),
          );
        };
        const token = tokenOf(request);
        const found = token === undefined ? undefined : tokens(token);
        if (token === undefined) done(new MatrixError(401, "M_MISSING_TOKEN", "Missing access token"));
        else if (found instanceof Promise) found.then(admit, done);
        else admit(found);
      });
      for (const register of [syncRoutes, receiptRoutes, historyRoutes, accountRoutes]) register(scope, api);
      if (standalone) standaloneRoutes(scope, api);
    });
  };
  return {
    routes,
    close: async () => {
      users.close();
      await frontend[Symbol.asyncDispose]();
    },
  };
}

/** Follows every partition: what comes is remembered, and wakes whom it concerns. */
async function followAll(frontend: Frontend, users: OnlineUsers): Promise<RecentDeltas> {
  const recent = new RecentDeltas(frontend.partitions);
  const follow = async (partition: number) => {
    await frontend.follow(partition, {
      begin: (mark) => recent.begin(partition, mark),
      delta: (delta, mark, bytes) => {
        recent.add(partition, delta, mark, bytes);
        users.receive(delta, mark);
      },
      lost: (mark) => {
        recent.begin(partition, { ...mark, sequence: mark.sequence - 1 });
        users.wakeAll();
      },
    });
  };
  await Promise.all(Array.from({ length: frontend.partitions }, (_, partition) => follow(partition)));
  return recent;
}

/** Matrix specification, "Using access tokens". */
function tokenOf({ headers, query }: FastifyRequest): string | undefined {
  const { authorization: header } = headers;
  const { access_token: inQuery } = query as { access_token?: unknown };
  const token = header?.startsWith("Bearer ") ? header.slice("Bearer ".length) : inQuery;
  return typeof token === "string" && token !== "" ? token : undefined;
}

const unknownToken = () => new MatrixError(401, "M_UNKNOWN_TOKEN", "Unrecognised access token");

/** Bodies are JSON, whatever their type says. */
function takeJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, (_, body, done) => {
    let value: unknown;
    try {
      value = JSON.parse(body as string);
    } catch {
      done(notJson("The request body is not JSON"));
      return;
    }
    const fault = jsonFault(value);
    if (fault === undefined) done(null, value);
    else done(badJson(`The request body is not accepted: ${fault}`));
  });
}
