/**
 * The current state of a room, its members, and profiles, which are what member events say (Matrix specification,
 * "Getting events for a room", "Profiles").
 */
import type { FastifyInstance } from "fastify";
import { type Answer, type Asked, roomsIn } from "../bus/contract/questions.ts";
import type { Frontend } from "../frontend/frontend.ts";
import { notFound, param } from "../http/matrix-error.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { type RoomId, type UserId, userId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";
import { clientEvent } from "./client-event.ts";
import { HistoryPages } from "./history-pages.ts";

const ROOM = "/_matrix/client/v3/rooms/:room";
const PROFILE = "/_matrix/client/v3/profile/:user";
const MEMBER = "m.room.member";
/** Rooms in which a profile is looked for. */
const PROFILE_ROOMS_MAX = 8;

export function stateRoutes(app: FastifyInstance, api: Api): void {
  const { frontend } = api;
  const history = new HistoryPages(api);

  app.get(`${ROOM}/state`, async (request) => {
    const room = await api.readableRoom(request);
    const device = api.device(request);
    const state = await stateOf(frontend, room, { viewer: device.user });
    return state.map((event) => clientEvent(event, device, room));
  });

  for (const path of [`${ROOM}/state/:type`, `${ROOM}/state/:type/:key`]) {
    app.get<{ Params: { type: string; key?: string } }>(path, async (request) => {
      const { type, key = "" } = request.params;
      const room = await api.readableRoom(request);
      const viewer = api.device(request).user;
      const member = type === MEMBER ? userId.safeParse(key) : undefined;
      const members = member?.success ? { members: [member.data] } : {};
      const state = await stateOf(frontend, room, { viewer, types: [type], ...members });
      const found = state.find((event) => event.type === type && event.state_key === key);
      if (found === undefined) throw notFound("No such state in this room");
      return found.content;
    });
  }

  app.get(`${ROOM}/members`, async (request) => {
    const { membership, not_membership: not, at: token } = request.query as Record<string, unknown>;
    const room = await api.readableRoom(request);
    const device = api.device(request);
    const after = await history.orderAfter(room, device.user, { value: token, field: "at" });
    const at = after === undefined ? {} : { at: after - 1 };
    const members = await stateOf(frontend, room, { viewer: device.user, types: [MEMBER], ...at });
    const wanted = members.filter(({ type, content }) => {
      if (type !== MEMBER || content.membership === not) return false;
      return membership === undefined || content.membership === membership;
    });
    return { chunk: wanted.map((event) => clientEvent(event, device, room)) };
  });

  app.get(`${ROOM}/joined_members`, async (request) => {
    const room = await api.joinedRoom(request);
    const members = await stateOf(frontend, room, { viewer: api.device(request).user, types: [MEMBER] });
    const joined = members.filter(({ content }) => content.membership === "join");
    return {
      joined: Object.fromEntries(
        joined.map(({ state_key: user, content: { displayname, avatar_url } }) => [
          user,
          { ...(displayname != null && { display_name: displayname }), ...(avatar_url != null && { avatar_url }) },
        ]),
      ),
    };
  });

  app.get<{ Params: { user: string } }>(PROFILE, async (request) => {
    return profileOf(api, api.device(request).user, param(userId, "user_id", request.params.user));
  });
  for (const field of ["displayname", "avatar_url"] as const) {
    app.get<{ Params: { user: string } }>(`${PROFILE}/${field}`, async (request) => {
      const user = param(userId, "user_id", request.params.user);
      const { [field]: value } = await profileOf(api, api.device(request).user, user);
      return value === undefined ? {} : { [field]: value };
    });
  }
}

/** Returns all state events that the question asks for. */
export async function stateOf(
  frontend: Frontend,
  room: RoomId,
  question: Omit<Asked<"state">, "op" | "since"> & { readonly viewer: UserId },
): Promise<MatrixEvent[]> {
  const state: MatrixEvent[] = [];
  for (let since: number | undefined = 0; since !== undefined; ) {
    const page: Answer<"state"> = await frontend.query(room, { op: "state", since, ...question });
    state.push(...page.events);
    since = page.next;
  }
  return state;
}

/**
 * The newest profile in the rooms that both users are in. Throws `M_NOT_FOUND` if there are none: whoever shares no room with
 * a user learns nothing.
 */
async function profileOf({ frontend, users }: Api, asking: UserId, user: UserId) {
  const own = await users.get(asking);
  const memberships = roomsIn(await frontend.query(user, { op: "rooms" }));
  const shared = memberships.filter(([room, { membership }]) => membership === "join" && own.isJoined(room));
  const events = await Promise.all(
    shared.slice(0, PROFILE_ROOMS_MAX).map(([room]) => {
      return stateOf(frontend, room, { viewer: asking, types: [MEMBER], members: [user] });
    }),
  );
  const [newest] = events.flat().sort((a, b) => b.origin_server_ts - a.origin_server_ts);
  if (newest === undefined && asking !== user) throw notFound("No room that you are in has this user");
  const { displayname, avatar_url: avatar } = newest?.content ?? {};
  return {
    ...(typeof displayname === "string" && { displayname }),
    ...(typeof avatar === "string" && { avatar_url: avatar }),
  };
}
