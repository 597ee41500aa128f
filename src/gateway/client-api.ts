/**
 * The Matrix client-server API: authentication, rate limit and routes.
 *
 * All data comes from the bus, by deltas and queries. The gateway itself has only caches, so any number of gateways can
 * run side by side, and a client can switch between them at any time.
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from "fastify";
import type { Bus } from "../bus/client/connection.ts";
import { streamOf } from "../bus/client/kv.ts";
import type { Delta } from "../bus/contract/messages.ts";
import { valueFault } from "../bus/contract/pruning.ts";
import { deltaStream, SEALING_KEYS_BUCKET } from "../bus/contract/subjects.ts";
import { jsonFault } from "../bus/contract/untrusted.ts";
import type { DeltaMark } from "../bus/deltas/delta-reader.ts";
import { SealingKeys } from "../bus/sealing-keys.ts";
import type { Conditions } from "../conditions.ts";
import { Frontend } from "../frontend/frontend.ts";
import { badJson, forbidden, MatrixError, notJson, param, tooManyRequests } from "../http/matrix-error.ts";
import { RequestLimit } from "../http/request-limit.ts";
import { USER_REQUESTS_MAX, USER_REQUESTS_WINDOW_MS } from "../limits.ts";
import { type RoomId, roomId, type UserId } from "../matrix/ids.ts";
import { accountRoutes, publicRoutes } from "./account-routes.ts";
import type { Api } from "./api.ts";
import { DeltaWatch } from "./delta-watch.ts";
import { encryptionRoutes } from "./encryption-routes.ts";
import { historyRoutes } from "./history-routes.ts";
import { loginRoutes, logoutRoutes } from "./login-routes.ts";
import { notKeptRoutes } from "./not-kept-routes.ts";
import { pushRuleRoutes } from "./push-rule-routes.ts";
import { receiptRoutes } from "./receipt-routes.ts";
import { relationRoutes } from "./relation-routes.ts";
import { standaloneRoutes } from "./standalone-routes.ts";
import { stateRoutes } from "./state-routes.ts";
import { StreamWait } from "./stream-wait.ts";
import { MemberEvents } from "./sync/member-events.ts";
import { OnlineUsers } from "./sync/online-users.ts";
import { RecentDeltas } from "./sync/recent-deltas.ts";
import { RoomSummaries } from "./sync/room-summaries.ts";
import { Sync } from "./sync/sync.ts";
import { SyncResponses } from "./sync/sync-response.ts";
import { syncRoutes } from "./sync/sync-routes.ts";
import { SyncTokens } from "./sync/sync-token.ts";
import { TokenSeal } from "./sync/token-seal.ts";
import { UnseenDeltas } from "./sync/unseen-deltas.ts";
import type { Device, Tokens } from "./tokens.ts";

/**
 * Deltas of each partition that a gateway reads when it starts, so that clients of other gateways can go on with it.
 */
const RECENT_DELTAS_READ = 2_000;

const ROUTES = [
  syncRoutes,
  receiptRoutes,
  historyRoutes,
  relationRoutes,
  stateRoutes,
  accountRoutes,
  pushRuleRoutes,
  encryptionRoutes,
  notKeptRoutes,
] as const;

export interface ClientApiOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly tokens: Tokens;
  /** Called for each delta that can't be read. */
  readonly unreadable?: (partition: number, error: unknown) => void;
  /** Adds the routes that create rooms and send events, without a homeserver. Default: false. */
  readonly standalone?: boolean;
  readonly conditions: Conditions;
  /** Ends the wait for streams that are missing. Default: it waits as long as it takes. */
  readonly stopping?: AbortSignal | undefined;
  /** Called for each answered `/sync`. See `Sync`. */
  readonly synced?: (ms: number) => void;
}

export interface ClientApi {
  readonly routes: FastifyPluginAsync;
  /** Memory that its deltas take. */
  readonly cachedBytes: () => number;
  close(): Promise<void>;
}

export async function openClientApi({
  nc,
  partitions,
  tokens,
  unreadable = () => {},
  standalone = false,
  conditions,
  stopping,
  synced,
}: ClientApiOptions): Promise<ClientApi> {
  const frontend = new Frontend(nc, partitions, { back: RECENT_DELTAS_READ, unreadable });
  const users = new OnlineUsers(frontend);
  const members = new MemberEvents();
  const summaries = new RoomSummaries();
  const wait = new StreamWait({ nc, conditions, stopping });
  const recent = await followAll({ frontend, users, caches: [members, summaries], wait });
  const watch = new DeltaWatch({ nc, conditions, marks: () => recent.marks });
  const keys = await wait.until(streamOf(SEALING_KEYS_BUCKET), () => SealingKeys.open(nc));
  const syncTokens = new SyncTokens(new TokenSeal(keys), partitions);
  const responses = new SyncResponses({ frontend, recent, members, summaries, tokens: syncTokens });
  const sync = new Sync(users, responses, synced);
  const limit = new RequestLimit<UserId>({ max: USER_REQUESTS_MAX, windowMs: USER_REQUESTS_WINDOW_MS });
  const device = (request: FastifyRequest) => request.device!;
  const api: Api = {
    frontend,
    recent,
    users,
    sync,
    syncTokens,
    device,
    readableRoom: async (request) => {
      const id = roomIn(request);
      const { user } = device(request);
      // Whoever joined just now may not have been known as a member a moment ago.
      if (users.cached(user)?.rooms.has(id) || (await users.isJoined(user, id))) return id;
      if ((await users.get(user)).rooms.has(id)) return id;
      throw forbidden("You have never been in this room");
    },
    joinedRoom: async (request) => {
      const id = roomIn(request);
      const { user } = device(request);
      if (users.cached(user)?.isJoined(id) || (await users.isJoined(user, id))) return id;
      throw forbidden("You are not joined to this room");
    },
  };

  const routes: FastifyPluginAsync = async (app) => {
    parseEveryBodyAsJson(app);
    app.addHook("preClose", async () => sync.close());
    publicRoutes(app);
    if (tokens.byDigest !== undefined) loginRoutes(app, tokens.byDigest);
    await app.register(async (scope) => {
      scope.decorateRequest("device");
      scope.addHook("onRequest", (request, _reply, done) => {
        const admit = (found: Device | undefined) => {
          if (found === undefined) return done(unknownToken());
          request.device = found;
          const waitMs = limit.take(found.user);
          done(waitMs === undefined ? undefined : tooManyRequests(waitMs));
        };
        const token = tokenOf(request);
        const found = token === undefined ? undefined : tokens.lookup(token, request.ip);
        if (token === undefined) done(new MatrixError(401, "M_MISSING_TOKEN", "Missing access token"));
        else if (found instanceof Promise) found.then(admit, done);
        else admit(found);
      });
      for (const register of ROUTES) register(scope, api);
      if (tokens.byDigest !== undefined) logoutRoutes(scope);
      if (standalone) standaloneRoutes(scope, api);
    });
  };
  return {
    routes,
    cachedBytes: () => recent.bytes,
    close: async () => {
      watch.close();
      users.close();
      keys.close();
      await frontend[Symbol.asyncDispose]();
    },
  };
}

function roomIn(request: FastifyRequest): RoomId {
  return param(roomId, "room_id", (request.params as { room: string }).room);
}

interface Followed {
  readonly frontend: Frontend;
  readonly users: OnlineUsers;
  readonly caches: readonly (MemberEvents | RoomSummaries)[];
  readonly wait: StreamWait;
}

/** Follows every partition. Deltas are cached, and wake the users whom they concern. */
async function followAll({ frontend, users, caches, wait }: Followed): Promise<RecentDeltas> {
  const clear = () => {
    for (const cache of caches) cache.clear();
  };
  const recent = new RecentDeltas(frontend.partitions);
  const follow = async (partition: number) => {
    const seen = new UnseenDeltas();
    const lost = (mark: DeltaMark) => {
      recent.begin(partition, mark);
      clear();
      users.invalidateAll();
    };
    await frontend.follow(partition, {
      begin: (mark) => recent.begin(partition, mark),
      delta: (delta, mark) => {
        const unseen = seen.unseen(delta, mark.published);
        if (unseen !== undefined && isTooLarge(unseen)) lost(mark);
        else if (unseen === undefined) recent.skip(partition, mark);
        else {
          recent.add(partition, unseen, mark);
          for (const cache of caches) cache.receive(unseen);
          users.receive(unseen);
        }
      },
      lost,
      restarted: (mark) => {
        seen.restart();
        recent.restart(partition, mark);
        clear();
        users.restart(partition);
      },
    });
  };
  const followed = (partition: number) => wait.until(deltaStream(partition), () => follow(partition));
  await Promise.all(Array.from({ length: frontend.partitions }, (_, partition) => followed(partition)));
  return recent;
}

/** Changes at one position that didn't fit into a message: it says only that there are some (`delta-messages.ts`). */
function isTooLarge(delta: Delta): boolean {
  if (delta.type !== "private") return delta.previous === delta.position;
  return delta.event === undefined && delta.fully_read === undefined;
}

/** Matrix specification, "Using access tokens". */
function tokenOf({ headers, query }: FastifyRequest): string | undefined {
  const { authorization: header } = headers;
  const { access_token: inQuery } = query as { access_token?: unknown };
  const token = header?.startsWith("Bearer ") ? header.slice("Bearer ".length) : inQuery;
  return typeof token === "string" && token !== "" ? token : undefined;
}

const unknownToken = () => new MatrixError(401, "M_UNKNOWN_TOKEN", "Unrecognised access token");

/** Parses every body as JSON, whatever its content type, after any byte order mark. An empty one is none. */
function parseEveryBodyAsJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body: Buffer, done) => {
    let value: unknown;
    let fault = jsonFault(body)?.reason;
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    if (fault === undefined) {
      try {
        value = JSON.parse(body.toString().trimStart());
      } catch {
        done(notJson("The request body is not JSON"));
        return;
      }
      fault = valueFault(value);
    }
    if (fault === undefined) done(null, value);
    else done(badJson(`The request body is not accepted: ${fault}`));
  });
}
