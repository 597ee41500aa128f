/** Which users are a homeserver's own, and whom of them a push shows in a room. */
import { type ServerName, serverOf, type UserId, userId } from "../matrix/ids.ts";
import type { PushedRoom } from "./transaction.ts";

/** Users of one transaction and room. */
const USERS_SEEN_MAX = 8;

export class LocalUsers {
  readonly #servers: ReadonlySet<ServerName>;

  /** If no server is given, all users are local. */
  constructor(servers: Iterable<ServerName>) {
    this.#servers = new Set(servers);
  }

  has(user: UserId): boolean {
    return this.#servers.size === 0 || this.#servers.has(serverOf(user));
  }

  /** Users who may be joined to the room, by the newest of what was pushed. */
  seenIn({ events, receipts }: PushedRoom): UserId[] {
    const users = new Set<UserId>();
    const see = (id: unknown) => {
      const user = userId.safeParse(id);
      if (users.size < USERS_SEEN_MAX && user.success && this.has(user.data)) users.add(user.data);
    };
    for (const { sender, state_key: member, type, content } of events.toReversed()) {
      see(sender);
      if (type === "m.room.member" && content.membership === "join") see(member);
    }
    for (const { user_id: user } of receipts.toReversed()) see(user);
    return [...users];
  }
}
