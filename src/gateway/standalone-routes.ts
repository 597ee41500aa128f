/**
 * Rooms without a homeserver (`--standalone`), to try Tidemark with nothing but clients.
 *
 * There are NO AUTH RULES: every user with an access token can join any room, and a joined user can do everything in
 * it.
 *
 * The id of an event is a hash of its transaction. So a repeated request creates the same event, which the fold drops
 * (F2), and the gateway stores no transaction ids.
 */
import { createHash, randomBytes } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { partitionOf } from "../bus/contract/subjects.ts";
import type { RoomEvent } from "../frontend/frontend.ts";
import { badJson, param } from "../http/matrix-error.ts";
import { SETTLE_MS_MAX } from "../limits.ts";
import { eventId, type RoomId, roomId, serverOf, userId } from "../matrix/ids.ts";
import { type Api, bodyOf, optionalBodyOf } from "./api.ts";
import type { Transaction } from "./client-event.ts";

type Content = Record<string, unknown>;
type Draft = Pick<RoomEvent, "type" | "content" | "state_key" | "redacts">;

const ROOM = "/_matrix/client/v3/rooms/:room";
const POLL_MS = 5;

export function standaloneRoutes(app: FastifyInstance, api: Api): void {
  const send = (request: FastifyRequest, room: RoomId, draft: Draft) => sendEvents(api, request, room, [draft]);

  app.post("/_matrix/client/v3/createRoom", async (request) => {
    const { user } = api.device(request);
    const room = param(roomId, "room_id", `!${randomBytes(13).toString("base64url")}:${serverOf(user)}`);
    await sendEvents(api, request, room, initialEvents(user, optionalBodyOf(request)));
    return { room_id: room };
  });

  for (const path of ["/_matrix/client/v3/join/:room", `${ROOM}/join`]) {
    app.post<{ Params: { room: string } }>(path, async (request) => {
      const room = param(roomId, "room_id", request.params.room);
      const { user } = api.device(request);
      if (!(await api.users.get(user)).isJoined(room)) await send(request, room, membershipEvent(user, "join"));
      return { room_id: room };
    });
  }

  app.post(`${ROOM}/leave`, async (request) => {
    const room = await api.joinedRoom(request);
    await send(request, room, membershipEvent(api.device(request).user, "leave"));
    return {};
  });

  app.post(`${ROOM}/invite`, async (request) => {
    const invited = param(userId, "user_id", bodyOf(request).user_id);
    await send(request, await api.joinedRoom(request), membershipEvent(invited, "invite"));
    return {};
  });

  app.put<{ Params: { type: string } }>(`${ROOM}/send/:type/:txn`, async (request) => {
    const content = bodyOf(request);
    return send(request, await api.joinedRoom(request), { type: request.params.type, content });
  });

  app.put<{ Params: { event: string } }>(`${ROOM}/redact/:event/:txn`, async (request) => {
    const redacts = param(eventId, "event_id", request.params.event);
    const content = { redacts, ...optionalBodyOf(request) };
    return send(request, await api.joinedRoom(request), { type: "m.room.redaction", redacts, content });
  });

  for (const path of [`${ROOM}/state/:type`, `${ROOM}/state/:type/:key`]) {
    app.put<{ Params: { type: string; key?: string } }>(path, async (request) => {
      const { type, key = "" } = request.params;
      const content = bodyOf(request);
      return send(request, await api.joinedRoom(request), { type, content, state_key: key });
    });
  }
}

function membershipEvent(user: string, membership: "join" | "leave" | "invite"): Draft {
  return { type: "m.room.member", state_key: user, content: { membership } };
}

function initialEvents(creator: string, body: Content): Draft[] {
  const state = (type: string, content: Content): Draft => ({ type, content, state_key: "" });
  const { name, topic, invite = [], initial_state: initial = [], creation_content: creation } = body;
  if (!Array.isArray(invite) || !Array.isArray(initial)) throw badJson("invite and initial_state must be arrays");
  const open = body.preset === "public_chat" || body.visibility === "public";
  return [
    state("m.room.create", { ...(creation as Content | undefined), room_version: "11" }),
    membershipEvent(creator, "join"),
    state("m.room.power_levels", { users: { [creator]: 100 } }),
    state("m.room.join_rules", { join_rule: open ? "public" : "invite" }),
    state("m.room.history_visibility", { history_visibility: "shared" }),
    ...initial.map((given: Partial<Draft>) => state(String(given?.type), given?.content ?? {})),
    ...(typeof name === "string" ? [state("m.room.name", { name })] : []),
    ...(typeof topic === "string" ? [state("m.room.topic", { topic })] : []),
    ...invite.map((invited: unknown) => membershipEvent(param(userId, "invite", invited), "invite")),
  ];
}

/** Sends events. Resolves once this gateway serves them, so that the client can read its own writes. */
async function sendEvents(
  api: Api,
  request: FastifyRequest,
  room: RoomId,
  drafts: readonly Draft[],
): Promise<{ event_id: string }> {
  const { user, id: device_id } = api.device(request);
  const { txn: transaction_id } = request.params as { txn?: string };
  const events = drafts.map((draft, i) => ({
    ...draft,
    ...(transaction_id !== undefined && { unsigned: { transaction_id, device_id } satisfies Transaction }),
    event_id: eventIdOf(api, request, i),
    sender: user,
    origin_server_ts: Date.now(),
  }));
  const positions = await api.frontend.events.send(room, events);
  const { event_id: id } = events.at(-1)!;
  await untilServed(api, room, { id, position: positions.at(-1)! });
  return { event_id: id };
}

/** Returns a hash of the transaction if there is one, else a random id. */
function eventIdOf(api: Api, request: FastifyRequest, index: number): string {
  const { user, id } = api.device(request);
  const { txn } = request.params as { txn?: string };
  const hash = createHash("sha256");
  if (txn === undefined) hash.update(randomBytes(32));
  else hash.update(JSON.stringify([user, id, request.url.split("?", 1)[0]]));
  return `$${hash.update(String(index)).digest("base64url")}`;
}

/**
 * Resolves when the delta of the event is cached, or after `SETTLE_MS_MAX`. A repeated event has no delta: another event, or itself,
 * had its order before this position.
 */
async function untilServed(api: Api, room: RoomId, { id, position }: { id: string; position: number }): Promise<void> {
  const partition = partitionOf(room, api.frontend.partitions);
  const deadline = performance.now() + SETTLE_MS_MAX;
  for (let repeated = false; !repeated && performance.now() < deadline; ) {
    if (api.recent.hasEvents(partition, room, position)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const { orders, greatest = 0 } = await api.frontend.query(room, {
      op: "orders",
      event_ids: [id],
      through: position - 1,
    });
    repeated = orders[id] != null && orders[id] <= greatest;
  }
}
